//! The account: one answer to "what happened, and what of it is proven", for every surface.
//!
//! Takes in an [`Inquiry`], which is what somebody asks and whom they believe, and a path; has it verified, whatever lies
//! there; gives out an [`Account`]. Command line and bindings show that account and add nothing: its verdict, its JSON
//! and its words are made here, so that no two of them can say different things.

mod account;
mod behaviour;
mod faults;
mod history;
mod inquiry;
mod keep;
mod page;
mod story;

pub use account::{Account, Told};
pub use behaviour::{Behaviour, RiskInquiry, RiskInquiryError};
pub use faults::what;
pub use history::{History, HistoryError, write_receipts};
pub use inquiry::{Inquiry, InquiryError};
pub use keep::{KeepError, keep};
pub use page::Markup;
pub use story::{note, short, tell};
