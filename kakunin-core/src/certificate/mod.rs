//! Certificates: from bytes nobody believes to an agent whose path, profile and standing are proven.
//!
//! `decode` reads one certificate strictly, `profile` is the table of what each role must carry, `path` leads to a
//! pinned root, `standing` joins a path with the lists that speak about it, `feed` is the certificate of a feed key, `request` asks for an agent's. `oids` names every private object
//! identifier of the project.

mod decode;
mod feed;
pub mod oids;
mod path;
mod profile;
mod request;
mod standing;

pub use decode::{CertificateError, Decoded};
pub use feed::FeedCertificate;
pub use path::{AgentPath, PathError, TrustAnchors};
pub use profile::{AgentCertificate, CaCertificate, CaRole};
pub use request::{RequestError, request_pem};
pub(crate) use standing::FeedWord;
pub use standing::{ListSelectError, PathLists, VerifiedAgent};
