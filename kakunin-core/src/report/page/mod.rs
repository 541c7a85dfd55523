//! The account as one page that a browser opens from a file: lanes of agents, receipts in the order that links prove,
//! each with its proof.
//!
//! Takes in an [`Account`], gives out HTML that needs nothing else: no script, no request, a policy that forbids both, and
//! every text from outside escaped by the one type that can write it ([`markup::Markup`]). The verdict stands at the top
//! in words. A page is a drawing and no evidence; it says so itself. It tells no time of its own, so the same account
//! gives the same octets.

mod frame;
mod lanes;
mod markup;
mod proof;
mod receipt;
mod top;

use super::account::Account;
use super::inquiry::Believed;
use crate::verify::{Place, Reason};
use lanes::Lanes;
pub use markup::Markup;

/// Everything that the pieces of a page look at.
struct Page<'a> {
    account: &'a Account,
    believed: &'a Believed,
    lanes: Lanes,
    /// What is wrong with a receipt or lacks, by stream and number.
    marks: Marks,
}

/// Marks on single receipts.
type Marks = std::collections::HashMap<(crate::id::StreamId, u64), Vec<&'static str>>;

/// Draws the page.
pub(super) fn draw(account: &Account, believed: &Believed) -> String {
    let page = Page { account, believed, lanes: Lanes::of(account.steps()), marks: marks(account) };
    frame::whole(&page)
}

fn marks(account: &Account) -> Marks {
    let mut marks = Marks::new();
    let reasons: &[Reason] = account.reasons();
    for reason in reasons {
        for index in reason.stream().iter().flat_map(|_| reason.indices()) {
            if let Some(stream) = reason.stream() {
                marks.entry((stream, *index)).or_default().push(reason.code());
            }
        }
    }
    if let Some(invalid) = account.invalid()
        && let Place::Receipt { stream, index } = &invalid.place
    {
        marks.entry((*stream, *index)).or_default().push(invalid.code);
    }
    marks
}

impl Page<'_> {
    /// The row in which a receipt is drawn.
    fn row_of(&self, stream: crate::id::StreamId, index: u64) -> Option<usize> {
        let at =
            |step: &crate::verify::Step| step.statement.stream == stream && step.statement.sequence == index;
        self.account.steps().iter().position(at)
    }
}

/// A link to a row; rows are counted from one.
fn link(out: &mut Markup, row: usize) {
    let number = row as u64 + 1;
    out.raw("<a href=\"#r").number(number).raw("\">").number(number).raw("</a>");
}
