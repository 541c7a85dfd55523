//! Which decision chain a call belongs to, as a plain object.

use kakunin_core::chain::{CallContext, ChainLink, TRACE_HEADER, TraceParent};
use kakunin_core::digest::Digest;
use kakunin_core::guard::Guard;
use kakunin_core::id::ChainId;
use kakunin_core::receipt::ReceiptHash;
use napi::{Env, Error, Result};
use napi_derive::napi;

use crate::room::within;

/// A place in a chain: the receipts that whatever is called here follows from.
#[napi(object)]
pub(crate) struct Place {
    /// The chain's id, as text.
    pub chain: String,
    /// The receipts, in hexadecimal.
    pub parents: Vec<String>,
    /// W3C traceparent.
    pub trace: Option<String>,
}

impl From<ChainLink> for Place {
    fn from(link: ChainLink) -> Self {
        Self {
            chain: link.chain().to_string(),
            parents: vec![link.from().to_string()],
            trace: link.trace().map(ToString::to_string),
        }
    }
}

/// A place, read.
pub(crate) struct Spot {
    chain: ChainId,
    parents: Vec<ReceiptHash>,
    trace: Option<TraceParent>,
}

impl Spot {
    pub(crate) fn read(place: &Place) -> Result<Self> {
        let chain =
            ChainId::parse(&place.chain).ok_or_else(|| Error::from_reason("a place has no chain id"))?;
        let parents: Option<_> = place.parents.iter().map(|text| receipt(text)).collect();
        let parents = parents.ok_or_else(no_name)?;
        Ok(Self { chain, parents, trace: place.trace.as_deref().map(trace).transpose()? })
    }

    /// What the guard writes into a receipt here.
    pub(crate) fn context(&self) -> CallContext<'_> {
        let trace = self.trace.as_ref().map(TraceParent::as_str);
        CallContext { chain: Some(self.chain), parents: &self.parents, trace }
    }

    /// What is handed on from here; nothing where no receipt was written yet, or where several come together.
    pub(crate) fn link(&self) -> Option<ChainLink> {
        let [from] = self.parents.as_slice() else { return None };
        let link = ChainLink::new(self.chain, *from);
        Some(match &self.trace {
            Some(trace) => link.with_trace(trace.clone()),
            None => link,
        })
    }
}

/// The beginning of a new chain.
#[napi(catch_unwind)]
pub(crate) fn chain_begin(traceparent: Option<String>) -> Result<Place> {
    let chain = Guard::new_chain().ok_or_else(|| Error::from_reason("the system gives no randomness"))?;
    let trace = traceparent.as_deref().map(trace).transpose()?;
    Ok(Place { chain: chain.to_string(), parents: Vec::new(), trace: trace.map(|trace| trace.to_string()) })
}

/// Where a caller's headers say that the call comes from.
#[napi(catch_unwind)]
pub(crate) fn chain_of_headers(header: String, traceparent: Option<String>) -> Result<Place> {
    let find = |name: &str| if name == TRACE_HEADER { traceparent.as_deref() } else { Some(header.as_str()) };
    let link = ChainLink::from_headers(find).map_err(|error| Error::from_reason(error.to_string()))?;
    link.map(Place::from).ok_or_else(|| Error::from_reason("no link"))
}

/// The same for the `_meta` of an MCP request, as JSON.
#[napi(catch_unwind)]
pub(crate) fn chain_of_meta(json: String) -> Result<Place> {
    let link = ChainLink::from_meta(&json).map_err(|error| Error::from_reason(error.to_string()))?;
    link.map(Place::from).ok_or_else(|| Error::from_reason("no link"))
}

/// The headers of a request from a place, as pairs; none where nothing was recorded yet.
#[napi(catch_unwind)]
pub(crate) fn chain_headers(place: Place) -> Result<Vec<Vec<String>>> {
    let link = Spot::read(&place)?.link();
    Ok(link
        .iter()
        .flat_map(ChainLink::to_headers)
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect())
}

/// The members of an MCP request's `_meta`, as JSON.
#[napi(catch_unwind)]
pub(crate) fn chain_meta(place: Place) -> Result<Option<String>> {
    Ok(Spot::read(&place)?.link().map(|link| link.to_meta()))
}

/// Records that receipts come together at a place: the receipt that says so.
#[napi(catch_unwind)]
pub(crate) fn chain_join(env: Env, agent: f64, place: Place, receipts: Vec<String>) -> Result<String> {
    let spot = Spot::read(&place)?;
    let receipts: Option<Vec<_>> = receipts.iter().map(|text| receipt(text)).collect();
    // What comes next still follows from where the context is.
    let parents = [spot.parents.as_slice(), &receipts.ok_or_else(no_name)?].concat();
    within(&env, |room| {
        let agent =
            room.agents.get(agent).ok_or_else(|| Error::from_reason("no such agent in this thread"))?;
        let joined = agent.guard.join(spot.chain, &parents).map_err(|reason| {
            Error::from_reason(format!("the join cannot be recorded: {} [{}]", reason.what(), reason.code()))
        });
        joined.map(|receipt| receipt.to_string())
    })
}

fn receipt(text: &str) -> Option<ReceiptHash> {
    Digest::from_hex(text).map(ReceiptHash::from_digest)
}

fn no_name() -> Error {
    Error::from_reason("a receipt is named by 64 lower-case hexadecimal digits")
}

fn trace(text: &str) -> Result<TraceParent> {
    TraceParent::parse(text)
        .ok_or_else(|| Error::from_reason("traceparent is not of the form of W3C Trace Context"))
}
