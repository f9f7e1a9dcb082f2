//! One invocation of the Worker: a request, a queue message or a run of the schedule.

use crate::{sabotage::Sabotage, world::World};
use std::{cell::Cell, rc::Rc};

/// As many as the runtime has. Not the relay's own constant, which might be wrong.
const CONNECTIONS_MAX: usize = 6;

/// One invocation of the Worker. The relay's ports are implemented for it.
#[derive(Clone)]
pub struct Invocation {
    pub world: Rc<World>,
    /// Whether its instance crashed.
    pub crashed: Rc<Cell<bool>>,
    /// Its number, from 1.
    pub number: u32,
    /// Whether its last read of a mail's record found none.
    pub missed: Rc<Cell<bool>>,
    /// Its open connections: requests, and operations on the store and the queue.
    connections: Rc<Cell<usize>>,
}

/// An open connection, until it is dropped.
pub struct Connection(Rc<Cell<usize>>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Invocation {
    pub fn new(world: &Rc<World>) -> Self {
        let number = world.invocations.get() + 1;
        world.invocations.set(number);
        Self {
            world: world.clone(),
            crashed: Rc::default(),
            number,
            missed: Rc::default(),
            connections: Rc::default(),
        }
    }

    /// The instance that it runs in, if that has a memory. A mistake takes it away.
    pub fn instance(&self) -> Option<u32> {
        let forgets = self.world.is_sabotaged(Sabotage::NoBudgets);
        let instance = self.number.checked_rem(self.world.rules.instances);
        instance.filter(|_| !forgets)
    }

    /// Opens a connection. The runtime has a seventh wait until one of six is closed
    /// (<https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>). The time of
    /// whoever waits runs, so the relay must not ask for a seventh.
    pub async fn connect(&self) -> Connection {
        while self.connections.get() >= CONNECTIONS_MAX {
            self.world
                .violate("a seventh connection was asked for".into());
            self.world.executor.sleep(10).await;
        }
        self.connections.set(self.connections.get() + 1);
        Connection(self.connections.clone())
    }

    /// Ends the instance. Never returns.
    pub async fn crash(&self) {
        self.world.note(|| "the instance is gone".into());
        self.crashed.set(true);
        std::future::pending().await
    }
}
