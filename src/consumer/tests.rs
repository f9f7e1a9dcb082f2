use super::*;
use std::{cell::Cell, pin::pin, task::Context, task::Waker};

/// Twenty messages, each of which waits until it is let go: six are begun, and another one as soon as one is done.
#[test]
fn of_a_batch_six_messages_are_at_work_whatever_its_size() {
    let begun = Cell::new(0);
    let may_end = Cell::new(0);
    let work = (0..20).map(|number| {
        let (begun, may_end) = (&begun, &may_end);
        let one = async move {
            begun.set(begun.get() + 1);
            poll_fn(|_| match number < may_end.get() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
        };
        Box::pin(one) as Pin<Box<dyn Future<Output = ()>>>
    });
    let mut batch = pin!(work_on_batch(work.collect()));
    let mut poll = || {
        let mut context = Context::from_waker(Waker::noop());
        batch.as_mut().poll(&mut context).is_ready()
    };
    for done in 0..20 {
        may_end.set(done);
        assert!(!poll());
        assert_eq!(begun.get(), (done + CONNECTIONS_MAX).min(20));
    }
    may_end.set(20);
    assert!(poll());
}
