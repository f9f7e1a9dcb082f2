//! Promises as futures, and futures as promises.
//!
//! `wasm-bindgen-futures` does the same for every JavaScript host. It makes two closures for each promise, and polls in
//! microtasks, which it has to ask the runtime for. Here one closure serves all promises, and a future is polled by
//! whatever wakes it. That is 5 to 9 % less CPU for a request (`make bench`).

use std::{
    cell::{Cell, RefCell},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};
use worker::{
    js_sys::{Function, Promise},
    send::SendWrapper,
    wasm_bindgen::{JsValue, closure::Closure, prelude::wasm_bindgen},
};

#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    js_sys = worker::js_sys,
    inline_js = "export const follow = (promise, settle, id) => {
        promise.then((value) => settle(id, value, false), (error) => settle(id, error, true));
    };"
)]
extern "C" {
    fn follow(promise: &Promise, settle: &Function, id: u32);
}

thread_local! {
    /// What is waited for, by number. No number is used again soon, so what comes too late finds nobody. The list is
    /// searched from its end: what a request waited for that was broken off stays at the front.
    static AWAITED: RefCell<Vec<(u32, State)>> = RefCell::default();
    static NEXT: Cell<u32> = const { Cell::new(0) };
    /// `settle(id, value, has_failed)`. Kept for as long as the instance.
    static SETTLE: Function = Closure::<dyn Fn(u32, JsValue, bool)>::new(settle)
        .into_js_value()
        .into();
}

enum State {
    Waiting(Option<Waker>),
    Settled(Result<JsValue, JsValue>),
}

fn settle(id: u32, value: JsValue, has_failed: bool) {
    let result = if has_failed { Err(value) } else { Ok(value) };
    let waiting = AWAITED.with_borrow_mut(|awaited| {
        let (_, state) = awaited.iter_mut().rfind(|(known, _)| *known == id)?;
        Some(mem::replace(state, State::Settled(result)))
    });
    // Not while the list is borrowed: this polls.
    if let Some(State::Waiting(Some(waker))) = waiting {
        waker.wake();
    }
}

/// What JavaScript will settle, with a value or an error.
pub struct Awaited(u32);

impl Awaited {
    /// What the promise comes to. One that is dropped may still fail without anybody noticing.
    pub fn promise(promise: &Promise) -> Self {
        Self::start(|settle, id| follow(promise, settle, id)).0
    }

    /// What calls `settle` with `id`, and with what `start` returned.
    pub fn start<T>(start: impl FnOnce(&Function, u32) -> T) -> (Self, T) {
        let id = NEXT.replace(NEXT.get().wrapping_add(1));
        AWAITED.with_borrow_mut(|awaited| awaited.push((id, State::Waiting(None))));
        let awaited = Self(id);
        let started = SETTLE.with(|settle| start(settle, id));
        (awaited, started)
    }
}

impl Future for Awaited {
    type Output = Result<JsValue, JsValue>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The waker before it is dropped at the end, not while the list is borrowed: it may be the last of its task.
        let mut waker = Some(context.waker().clone());
        let result = AWAITED.with_borrow_mut(|awaited| {
            let (_, state) = awaited.iter_mut().rfind(|(id, _)| *id == self.0)?;
            match state {
                State::Settled(result) => Some(mem::replace(result, Ok(JsValue::UNDEFINED))),
                State::Waiting(known) => {
                    mem::swap(known, &mut waker);
                    None
                }
            }
        });
        result.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let gone = AWAITED.with_borrow_mut(|awaited| {
            let index = awaited.iter().rposition(|(id, _)| *id == self.0)?;
            Some(awaited.remove(index))
        });
        // Not while the list is borrowed, as above.
        drop(gone);
    }
}

/// A promise of what the future returns. The future is polled at once, and then by whatever wakes it.
pub fn promise(work: impl Future<Output = JsValue> + 'static) -> Promise {
    let mut work = Some(work);
    Promise::new(&mut |resolve, _| {
        let Some(work) = work.take() else { return };
        let work = async move {
            let value = work.await;
            // Cannot fail: it only takes the value.
            let _ = resolve.call1(&JsValue::UNDEFINED, &value);
        };
        let task = Task {
            work: SendWrapper(RefCell::new(Some(Box::pin(work)))),
            is_woken: SendWrapper(Cell::new(false)),
        };
        Arc::new(task).wake();
    })
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// A future that is under way. A Worker has one thread, so it is sent to no other.
struct Task {
    /// `None`: it is done.
    work: SendWrapper<RefCell<Option<Work>>>,
    is_woken: SendWrapper<Cell<bool>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.is_woken.set(true);
        // Woken while it is polled, it is polled again by the one who does so.
        while let Ok(mut work) = self.work.try_borrow_mut() {
            let Some(future) = work.as_mut().filter(|_| self.is_woken.take()) else {
                return;
            };
            let waker = Waker::from(self.clone());
            if future
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                *work = None;
            }
        }
    }
}
