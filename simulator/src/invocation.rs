//! One invocation of the Worker, from its request or message to its end, or its crash.

use crate::world::World;
use std::{cell::Cell, rc::Rc};

/// One invocation of the Worker: the ports, and whether its instance is still there.
#[derive(Clone)]
pub struct Invocation {
    pub world: Rc<World>,
    pub crashed: Rc<Cell<bool>>,
    pub number: u32,
    /// Whether the ledger knew nothing of the mail.
    pub missed: Rc<Cell<bool>>,
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
        }
    }

    pub async fn crash(&self) {
        self.world.note(|| "the instance is gone".into());
        self.crashed.set(true);
        std::future::pending().await
    }
}
