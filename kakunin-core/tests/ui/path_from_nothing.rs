use std::sync::Arc;

use kakunin_core::certificate::{AgentCertificate, AgentPath, CaCertificate, TrustAnchors};

fn path(agent: Arc<AgentCertificate>, issuing: Arc<CaCertificate>, root: Arc<CaCertificate>) -> AgentPath {
    AgentPath { agent, issuing, root }
}

fn anchors() -> TrustAnchors {
    TrustAnchors { roots: Vec::new(), issuer: None }
}

fn main() {}
