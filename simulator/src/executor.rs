//! Runs tasks in one thread, on a clock that jumps from one timer to the next.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::BinaryHeap,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Milliseconds of simulated time.
pub type Millis = u64;

/// The tasks, their timers and the clock.
#[derive(Default)]
pub struct Executor {
    now: Cell<Millis>,
    current: Cell<usize>,
    sequence: Cell<u64>,
    timers: RefCell<BinaryHeap<Reverse<(Millis, u64, usize)>>>,
    tasks: RefCell<Vec<Option<Task>>>,
    ready: RefCell<Vec<usize>>,
}

impl Executor {
    /// An executor whose clock begins at `now`.
    pub fn starting_at(now: Millis) -> Rc<Self> {
        let executor = Self::default();
        executor.now.set(now);
        Rc::new(executor)
    }

    /// The simulated time, since the Unix epoch.
    pub fn now(&self) -> Millis {
        self.now.get()
    }

    /// Starts a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        tasks.push(Some(Box::pin(task)));
        self.ready.borrow_mut().push(tasks.len() - 1);
    }

    /// Runs until nothing is left to do, or until `end`. Returns whether nothing is left.
    pub fn run_until(&self, end: Millis) -> bool {
        loop {
            while let Some(id) = self.pop_ready() {
                let task = self.tasks.borrow_mut().get_mut(id).and_then(Option::take);
                if let Some(mut task) = task {
                    self.current.set(id);
                    let poll = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    if poll.is_pending() {
                        self.tasks.borrow_mut()[id] = Some(task);
                    }
                }
            }
            let next = self.timers.borrow().peek().copied();
            match next {
                None => return true,
                // The timer stays for a later call.
                Some(Reverse((at, _, _))) if at > end => return false,
                Some(Reverse((at, _, id))) => {
                    self.timers.borrow_mut().pop();
                    self.now.set(self.now.get().max(at));
                    self.ready.borrow_mut().push(id);
                }
            }
        }
    }

    fn pop_ready(&self) -> Option<usize> {
        let mut ready = self.ready.borrow_mut();
        (!ready.is_empty()).then(|| ready.remove(0))
    }

    /// Waits for that long.
    pub async fn sleep(self: &Rc<Self>, length: Millis) {
        let until = self.now() + length;
        self.sleep_until(until).await;
    }

    /// Waits until then.
    pub fn sleep_until(self: &Rc<Self>, until: Millis) -> Sleep {
        Sleep {
            executor: self.clone(),
            until,
            armed: false,
        }
    }
}

/// Waits until a moment.
pub struct Sleep {
    executor: Rc<Executor>,
    until: Millis,
    armed: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.armed && self.executor.now() >= self.until {
            return Poll::Ready(());
        }
        if !self.armed {
            self.armed = true;
            let executor = &self.executor;
            let sequence = executor.sequence.get();
            executor.sequence.set(sequence + 1);
            let timer = Reverse((self.until, sequence, executor.current.get()));
            executor.timers.borrow_mut().push(timer);
        }
        Poll::Pending
    }
}

/// Runs a future until it ends or `crashed` is set. A crashed one is dropped in the middle, like the work of a Worker's
/// instance that ends. It returns `None` then.
pub struct Crashable<F> {
    future: Option<Pin<Box<F>>>,
    crashed: Rc<Cell<bool>>,
}

impl<F: Future> Crashable<F> {
    pub fn new(future: F, crashed: Rc<Cell<bool>>) -> Self {
        Self {
            future: Some(Box::pin(future)),
            crashed,
        }
    }
}

impl<F: Future> Future for Crashable<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let poll = match &mut self.future {
            Some(future) => future.as_mut().poll(context),
            None => return Poll::Ready(None),
        };
        if self.crashed.get() {
            self.future = None;
            return Poll::Ready(None);
        }
        poll.map(Some)
    }
}

/// A value that one task gives and another takes.
pub struct Handover<T> {
    executor: Rc<Executor>,
    value: Rc<RefCell<Option<T>>>,
    waiter: Rc<Cell<Option<usize>>>,
}

impl<T> Clone for Handover<T> {
    fn clone(&self) -> Self {
        Self {
            executor: self.executor.clone(),
            value: self.value.clone(),
            waiter: self.waiter.clone(),
        }
    }
}

impl<T> Handover<T> {
    pub fn new(executor: &Rc<Executor>) -> Self {
        Self {
            executor: executor.clone(),
            value: Rc::default(),
            waiter: Rc::default(),
        }
    }

    /// Gives the value, and wakes the task that waits for it.
    pub fn give(&self, value: T) {
        *self.value.borrow_mut() = Some(value);
        if let Some(waiter) = self.waiter.take() {
            self.executor.ready.borrow_mut().push(waiter);
        }
    }

    /// Waits for the value. `None` if it did not come in time.
    pub async fn take_within(&self, length: Millis) -> Option<T> {
        let mut sleep = std::pin::pin!(self.executor.sleep_until(self.executor.now() + length));
        std::future::poll_fn(|context| {
            if let Some(value) = self.value.borrow_mut().take() {
                return Poll::Ready(Some(value));
            }
            self.waiter.set(Some(self.executor.current.get()));
            sleep.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}
