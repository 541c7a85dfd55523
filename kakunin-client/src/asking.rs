//! What an agent's requests ask for, on its own side: the names whose places in detached lists go along.
//!
//! A certificate refers to a long list of names by its root. A gateway that has not the list is shown, in the field `kakunin-names`,
//! where the names of this request stand in it. Which names those are the client has to be told, in the words in which the gateway
//! demands them.

use std::fmt;
use std::sync::Arc;

use reqwest::Request;
use serde_json::Value;

/// An action, and where in a request its names are.
///
/// ```
/// use kakunin_client::middleware::Asking;
///
/// let payment = Asking::of("payments:send").counterparty("iban").resource("order.warehouse");
/// // Whatever is not in the JSON body a function finds.
/// let letter = Asking::of("mail:send").counterparty_by(|request| {
///     request.url().path_segments().into_iter().flatten().next_back().map(str::to_owned).into_iter().collect()
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use = "an agent proves the names that its middleware was told of"]
pub struct Asking {
    action: Arc<str>,
    counterparties: Vec<Place>,
    resources: Vec<Place>,
}

/// Where names are.
#[derive(Clone)]
enum Place {
    /// In the JSON body: names of members with dots between them.
    Path(Arc<str>),
    By(Arc<Find>),
}

type Find = dyn Fn(&Request) -> Vec<String> + Send + Sync;

impl Asking {
    /// What is asked for is `action`, such as `payments:send`, and it is towards nobody yet.
    pub fn of(action: impl Into<String>) -> Self {
        Self { action: action.into().into(), counterparties: Vec::new(), resources: Vec::new() }
    }

    /// Its counterparties are also those at `path` in the JSON body, such as `order.iban`: a text, or a list of them. What is no
    /// text proves nothing; whoever is asked judges what is there.
    pub fn counterparty(mut self, path: impl Into<String>) -> Self {
        self.counterparties.push(Place::Path(path.into().into()));
        self
    }

    /// Its counterparties are also those that `names` finds in a request.
    pub fn counterparty_by(
        mut self,
        names: impl Fn(&Request) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.counterparties.push(Place::By(Arc::new(names)));
        self
    }

    /// Its resources are also those at `path` in the JSON body.
    pub fn resource(mut self, path: impl Into<String>) -> Self {
        self.resources.push(Place::Path(path.into().into()));
        self
    }

    /// Its resources are also those that `names` finds in a request.
    pub fn resource_by(mut self, names: impl Fn(&Request) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.resources.push(Place::By(Arc::new(names)));
        self
    }

    /// Refuses what leads nowhere in any request.
    pub(crate) fn checked(self) -> Result<Self, AskingError> {
        if self.action.is_empty() {
            return Err(AskingError::Action);
        }
        let paths = self.counterparties.iter().chain(&self.resources).filter_map(|place| match place {
            Place::Path(path) => Some(path),
            Place::By(_) => None,
        });
        match paths.into_iter().find(|path| path.split('.').any(str::is_empty)) {
            Some(path) => Err(AskingError::Path { path: path.to_string() }),
            None => Ok(self),
        }
    }

    /// The names of a request with this body.
    pub(crate) fn names_of(&self, request: &Request, content: &[u8]) -> Asked {
        // A body that is no JSON has no members.
        let body: Option<Value> = serde_json::from_slice(content).ok();
        let names = |places: &[Place]| -> Vec<String> {
            places.iter().flat_map(|place| place.names(request, body.as_ref())).collect()
        };
        Asked {
            action: Arc::clone(&self.action),
            counterparties: names(&self.counterparties),
            resources: names(&self.resources),
        }
    }
}

impl Place {
    fn names(&self, request: &Request, body: Option<&Value>) -> Vec<String> {
        let path = match self {
            Self::Path(path) => path,
            Self::By(names) => return names(request),
        };
        match body.and_then(|body| path.split('.').try_fold(body, |value, name| value.get(name))) {
            Some(Value::String(name)) => vec![name.clone()],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{path:?}"),
            Self::By(_) => f.write_str("a function"),
        }
    }
}

/// What one request asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    action: Arc<str>,
    counterparties: Vec<String>,
    resources: Vec<String>,
}

impl Asked {
    /// Its parts, for [`Guard::prove_names`](kakunin_core::guard::Guard::prove_names).
    pub(crate) fn parts(&self) -> (&str, Vec<&str>, Vec<&str>) {
        (&self.action, texts(&self.counterparties), texts(&self.resources))
    }
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// What can be asked of nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskingError {
    /// No action.
    #[error(
        "the names are those of an action; write the one that the service demands, such as `payments:send`"
    )]
    Action,
    /// A path with nothing between two dots.
    #[error(
        "`{path}` is no path into a JSON body; write names of members with single dots between them, such as `order.iban`"
    )]
    Path {
        /// As it was given.
        path: String,
    },
}
