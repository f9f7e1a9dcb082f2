//! One invocation of the Worker: a request, a queue message or a run of the schedule.

use crate::{sabotage::Sabotage, world::World};
use std::{cell::Cell, rc::Rc};

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

    /// The instance that it runs in, if that has a memory. A mistake takes it away.
    pub fn instance(&self) -> Option<u32> {
        let forgets = self.world.is_sabotaged(Sabotage::NoBudgets);
        let instance = self.number.checked_rem(self.world.rules.instances);
        instance.filter(|_| !forgets)
    }

    /// Ends the instance. Never returns.
    pub async fn crash(&self) {
        self.world.note(|| "the instance is gone".into());
        self.crashed.set(true);
        std::future::pending().await
    }
}
