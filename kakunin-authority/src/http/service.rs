//! What every handler sees of the authority: its orders, what it published, its records to read.

use std::sync::Arc;

use tokio::sync::watch;

use super::readers::Readers;
use super::sequencer::{Lane, NoAnswer, Orders};
use super::server::Clock;
use crate::authority::{Authority, AuthorityError};
use crate::publish::Published;

use super::error::Refusal;

/// The shared half of a running service.
pub(crate) struct Service {
    pub(crate) orders: Orders,
    pub(crate) published: watch::Sender<Option<Arc<Published>>>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) clock: Clock,
    /// Writes one line of the log.
    pub(crate) log: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Service {
    /// What everyone may read, as it was last published.
    ///
    /// # Errors
    /// [`Refusal`] before the first publication.
    pub(crate) fn published(&self) -> Result<Arc<Published>, Refusal> {
        let none = || Refusal::unavailable("starting", "the authority has not published its lists yet");
        self.published.borrow().clone().ok_or_else(none)
    }

    /// Gives the sequencer an order and waits for what it answers.
    ///
    /// # Errors
    /// [`Refusal`] when the authority refuses or there is no answer.
    pub(crate) async fn order<T: Send + 'static>(
        &self,
        lane: Lane,
        order: impl FnOnce(&mut Authority<'_>) -> Result<T, AuthorityError> + Send + 'static,
    ) -> Result<T, Refusal> {
        match self.orders.give(lane, order).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(error.into()),
            Err(none @ NoAnswer::Failed) => {
                Err(Refusal { cause: Some("the order ended in a fault".into()), ..none.into() })
            }
            Err(none) => Err(none.into()),
        }
    }
}
