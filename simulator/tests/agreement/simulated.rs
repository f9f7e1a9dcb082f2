//! The simulator's Nylas. Time passes only when a case says so, and while it waits for an answer.

use crate::played::{Account, Answer, Ask, Behaviour, GRANT, OTHER, Played, address_of};
use clerk_nylas_relay::ports::{HttpMethod, HttpResponse};
use serde_json::{Value, json};
use simulator::{
    choices::Choices,
    executor::Millis,
    nylas::{Request, folder_id, handle},
    world::{AccountState, Rules, World},
};
use std::{rc::Rc, time::Duration};

const START: Millis = 1_764_000_000_000;

pub struct Simulated {
    world: Rc<World>,
    received: usize,
}

impl Simulated {
    pub fn new(refusals_are_kept: bool) -> Self {
        let rules = Rules {
            throttling_is_kept: refusals_are_kept,
            account_refusals_are_kept: refusals_are_kept,
            has_queue: true,
            store_is_reliable: true,
            hears_nylas: true,
            failed_mail_stays: false,
            hang_up_frees_keys: false,
            instances: 0,
            batch_size: 1,
            queue_stops: None,
            daily_cap: None,
            over_smtp: false,
            message_ids_are_kept: true,
        };
        let choices = Choices::scripted(Vec::new());
        let world = World::new(START, rules, None, choices, Millis::MAX, false);
        for grant in [GRANT, OTHER] {
            let healthy = vec![(0, AccountState::Healthy)];
            world
                .accounts
                .borrow_mut()
                .insert(grant.to_owned(), healthy);
        }
        Self { world, received: 0 }
    }

    fn start(&self, ask: &Ask) -> (HttpResponse, Millis) {
        let request = Request {
            method: if ask.body.is_some() {
                HttpMethod::Post
            } else {
                HttpMethod::Get
            },
            path: &ask.path,
            key: ask.key,
            body: ask.body.as_deref(),
        };
        let answer = handle(&self.world, &request);
        // The behaviour was for one send only.
        self.world.choices.replace(Choices::scripted(Vec::new()));
        answer
    }

    fn run_until(&self, end: Millis) {
        let world = self.world.clone();
        let end = end.max(world.now());
        let executor = world.executor.clone();
        let sleep = executor.sleep_until(end);
        world.executor.spawn(sleep);
        world.executor.run_until(end);
    }
}

impl Played for Simulated {
    fn ask(&mut self, ask: &Ask) -> Answer {
        let (response, ready_at) = self.start(ask);
        self.run_until(ready_at);
        Answer {
            status: response.status,
            headers: response.headers,
            body: serde_json::from_str(&response.body).unwrap(),
        }
    }

    fn ask_and_hang_up(&mut self, ask: &Ask) {
        self.start(ask);
    }

    fn next_send(&mut self, behaviour: Behaviour) {
        // The number of the fault in `simulator::nylas`.
        let way = match behaviour {
            Behaviour::Slow => 1,
            Behaviour::Queued => 3,
            Behaviour::TimedOut => 4,
            Behaviour::Unavailable => 6,
            Behaviour::Refused => 9,
            Behaviour::QueuedInVain => 11,
        };
        self.world.choices.replace(Choices::scripted(vec![way]));
    }

    fn set_account(&mut self, grant: &str, account: Account) {
        let state = match account {
            Account::Healthy => AccountState::Healthy,
            Account::Paused => AccountState::Paused,
            Account::AbuseBlocked => AccountState::AbuseBlocked,
            Account::OverDailyCap => AccountState::Capped,
            Account::Throttled => AccountState::Throttled,
            Account::Gone => AccountState::Gone,
        };
        let mut accounts = self.world.accounts.borrow_mut();
        accounts
            .get_mut(grant)
            .unwrap()
            .push((self.world.now(), state));
    }

    fn advance(&mut self, by: Duration) {
        self.run_until(self.world.now() + Millis::try_from(by.as_millis()).unwrap());
    }

    fn receive(&mut self, grant: &str, from: &str, answers: &str) -> String {
        self.received += 1;
        let id = format!("inbound-{}", self.received);
        let accepted = self.world.accepted.borrow();
        let answered = accepted
            .iter()
            .find(|mail| mail.message_id == answers)
            .unwrap();
        let message = json!({
            "id": id, "grant_id": grant, "object": "message", "thread_id": answered.message["thread_id"],
            "from": [{ "email": from }], "to": [{ "email": address_of(grant) }], "subject": "Re: your code",
            "body": "That was not me.", "date": self.world.now() / 1000, "folders": [folder_id(grant, "inbox")],
            "headers": [{ "name": "Auto-Submitted", "value": "auto-replied" }],
        });
        let entry = (grant.to_owned(), self.world.now(), message);
        self.world.mailroom.messages.borrow_mut().push(entry);
        id
    }

    fn give_up_queued(&mut self) -> Value {
        self.advance(Duration::from_secs(100));
        self.world
            .mailroom
            .notifications
            .borrow()
            .last()
            .cloned()
            .unwrap()
    }

    fn accepted(&self) -> usize {
        self.world.accepted.borrow().len()
    }
}
