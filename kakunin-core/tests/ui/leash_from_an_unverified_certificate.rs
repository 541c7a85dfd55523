use kakunin_core::certificate::AgentCertificate;
use kakunin_core::leash::Leash;
use kakunin_core::scope::NameLists;

fn main() {
    let certificate = AgentCertificate::decode(&[]).unwrap();
    let _ = Leash::compile(&certificate, &NameLists::default());
    let _ = Leash::compile(certificate.scope(), &NameLists::default());
}
