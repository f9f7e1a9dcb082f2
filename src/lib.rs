//! clerk-nylas-relay: a Cloudflare Worker that sends Clerk's e-mails through a Nylas Agent Account, exactly once.
//!
//! Start with [`mail`], a mail's two ways in, and [`delivery`], which keeps one mail one. `docs/design.md` draws the
//! house. Only `platform`, `router` and the entry points below know Workers, so everything else runs natively: in
//! tests, and in the simulator.

// Outside tests it is denied: see `[workspace.lints]`.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod clerk;
pub mod config;
pub mod consumer;
pub mod context;
pub mod delivery;
pub mod handback;
pub mod ledger;
pub mod mail;
pub mod model;
pub mod nylas;
pub mod operator;
pub mod ports;
pub mod queue;
pub mod redact;
pub mod replies;
pub mod signature;
pub mod smtp;

#[cfg(target_arch = "wasm32")]
mod platform;
#[cfg(target_arch = "wasm32")]
mod router;

/// The three entry points, which `scripts/entry.mjs` finds by their names.
///
/// They are written out. `#[event(...)]` of crate `worker` polls by way of `wasm-bindgen-futures`, which costs more
/// (`platform/promise.rs`), turns a batch's error into a panic, and hides how often a message was delivered.
#[cfg(target_arch = "wasm32")]
mod entry {
    use crate::{
        config::{Config, is_endpoint},
        consumer,
        model::{message::Delivery, outcome::Event, problem::Problem},
        operator::{alerts, checks, first_look, settings},
        platform::{self, Platform, QueueMessage},
        replies::sweep,
        router,
    };
    use futures_channel::oneshot;
    use futures_util::future::{Either, select};
    use std::{cell::RefCell, rc::Rc, sync::Once};
    use worker::{
        Env,
        js_sys::Promise,
        wasm_bindgen::{JsValue, prelude::wasm_bindgen},
        web_sys::{Request, Response},
        worker_sys,
    };

    /// A request: Clerk's webhook, Nylas' webhook, the operator, a monitor.
    ///
    /// The work goes on after its answer: a send that outlasts the budget, what is recorded, alerts.
    #[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
    pub fn fetch(request: Request, env: Env, context: worker_sys::Context) -> Promise {
        report_panics();
        platform::promise(async move { answer(request, &env, &context).await.into() })
    }

    /// The answer to a request, as soon as there is one.
    async fn answer(request: Request, env: &Env, context: &worker_sys::Context) -> Response {
        let instance = Instance::of(env);
        let (sender, answered) = oneshot::channel();
        let work = Box::pin(async move {
            let Instance {
                platform, settings, ..
            } = &*instance;
            let respond = |response| {
                // Fails only when nobody waits for the answer any more.
                let _ = sender.send(response);
            };
            let mut routed = router::route(&request, platform, settings, respond).await;
            if let Ok(config) = settings {
                routed
                    .alerts
                    .extend(settings::report_degraded(platform, config));
            }
            let config = settings.as_ref().ok();
            alerts::raise(
                platform,
                config,
                instance.alert_url.as_deref(),
                routed.alerts,
            )
            .await;
            if let Some((slug, event)) = routed.first_event {
                first_look::keep(platform, &slug, &event).await;
            }
        });
        let answered = match select(work, answered).await {
            Either::Left(((), mut answered)) => answered.try_recv().ok().flatten(),
            Either::Right((answered, work)) => {
                let rest = platform::promise(async move {
                    work.await;
                    JsValue::UNDEFINED
                });
                // Fails only for a request that is over.
                let _ = context.wait_until(&rest);
                answered.ok()
            }
        };
        // Nothing answers only if the work was dropped: then Clerk and Nylas try again.
        answered.unwrap_or_else(router::unanswered)
    }

    /// A batch of queue messages.
    #[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
    pub fn queue(batch: worker_sys::MessageBatch, env: Env, _context: JsValue) -> Promise {
        report_panics();
        platform::promise(async move {
            handle_batch(&batch, &env).await;
            JsValue::UNDEFINED
        })
    }

    async fn handle_batch(batch: &worker_sys::MessageBatch, env: &Env) {
        let instance = Instance::of(env);
        let platform = &instance.platform;
        let config = instance.settings.as_ref().map_err(Vec::as_slice);
        let is_dead = batch
            .queue()
            .is_ok_and(|name| String::from(name).ends_with("-dead"));
        let messages = QueueMessage::all(batch);
        let raised = RefCell::new(Vec::new());
        let work = messages.iter().map(async |message| {
            let (id, body) = (message.id(), message.body());
            let delivery = Delivery {
                id: &id,
                body: &body,
                attempt: message.attempt(),
            };
            let (disposition, alerts) = if is_dead {
                consumer::give_up(platform, &delivery).await
            } else {
                consumer::process(platform, config, &delivery).await
            };
            message.settle(disposition);
            raised.borrow_mut().extend(alerts);
        });
        consumer::work_on_batch(work.map(|work| Box::pin(work) as _).collect()).await;
        let raised = raised.into_inner();
        alerts::raise(platform, config.ok(), instance.alert_url.as_deref(), raised).await;
    }

    /// Every quarter of an hour: `[triggers]` in `wrangler.toml`.
    #[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
    pub fn scheduled(_event: JsValue, env: Env, _context: JsValue) -> Promise {
        report_panics();
        platform::promise(async move {
            run_schedule(&env).await;
            JsValue::UNDEFINED
        })
    }

    async fn run_schedule(env: &Env) {
        let instance = Instance::of(env);
        let platform = &instance.platform;
        let raised = match &instance.settings {
            Ok(config) => {
                sweep::run(platform, config).await;
                let mut raised = checks::run(platform, config).await;
                raised.extend(settings::report_degraded(platform, config));
                raised
            }
            Err(problems) => settings::report_misconfigured(platform, Event::Sweep, problems)
                .into_iter()
                .collect(),
        };
        let config = instance.settings.as_ref().ok();
        alerts::raise(platform, config, instance.alert_url.as_deref(), raised).await;
    }

    /// What an instance of the Worker reads once: its bindings and settings.
    struct Instance {
        env: JsValue,
        platform: Platform,
        settings: Result<Config, Vec<Problem>>,
        /// Not of the settings: that they are wrong is an alert, too.
        alert_url: Option<String>,
    }

    impl Instance {
        /// The instance's own, read anew should it ever be given another environment.
        fn of(env: &Env) -> Rc<Self> {
            thread_local! {
                static INSTANCE: RefCell<Option<Rc<Instance>>> = const { RefCell::new(None) };
            }
            INSTANCE.with_borrow_mut(|known| match known {
                Some(instance) if instance.env == **env => instance.clone(),
                _ => known.insert(Rc::new(Self::read(env))).clone(),
            })
        }

        fn read(env: &Env) -> Self {
            let platform = Platform::new(env);
            let setting = |name: &str| platform::setting(env, name);
            Self {
                env: JsValue::clone(env),
                settings: Config::read(setting, platform.bound()),
                alert_url: setting("ALERT_WEBHOOK_URL").filter(|url| is_endpoint(url)),
                platform,
            }
        }
    }

    /// A readable report of a panic on the console, before the hook of crate `worker`, which restarts
    /// the instance.
    fn report_panics() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                console_error_panic_hook::hook(panic);
                next(panic);
            }));
        });
    }
}
