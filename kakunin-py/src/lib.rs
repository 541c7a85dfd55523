//! Kakunin for Python: conversions around the guard.
//!
//! Python values come in and become a request; the guard's answer goes out as a running action or an exception. What is
//! allowed is decided in the core and nowhere here. The manners of the language (decorator, context, hooks, classes of
//! exceptions) are Python, in `python/kakunin`.

use pyo3::prelude::*;

mod agent;
mod chain;
#[cfg(feature = "connect")]
mod connect;
mod current;
mod denial;
mod gateway;
mod host;
mod plan;
mod proof;
mod risk;
mod running;
mod testing;
mod values;
mod verify;

/// The native half of the package `kakunin`.
#[pymodule(gil_used = false)]
mod _native {
    use kakunin_core::decision::DenialReason;
    use kakunin_core::environment;
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_export]
    use crate::agent::{NativeAgent, Opened, open_directory, open_pem};
    #[pymodule_export]
    use crate::chain::{Place, chain_begun, set_chain_context};
    #[cfg(feature = "connect")]
    #[pymodule_export]
    use crate::connect::{NativeClient, connect};
    #[pymodule_export]
    use crate::current::{context_entered, current, default, set_context, set_default};
    #[pymodule_export]
    use crate::gateway::{NativeCaller, NativeGateway, NativeHead, json_said};
    #[pymodule_export]
    use crate::host::{asks_for_less, ignored, written_text};
    #[pymodule_export]
    use crate::plan::Plan;
    #[pymodule_export]
    use crate::proof::{prove, prove_names};
    #[pymodule_export]
    use crate::risk::risk_replay;
    #[pymodule_export]
    use crate::running::{Running, defers};
    #[pymodule_export]
    use crate::testing::{Judge, ManualClock, NativeAuthority, updated_standing};
    #[pymodule_export]
    use crate::verify::{NativeAccount, verify_path};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let codes = DenialReason::ALL.iter().map(|reason| reason.code());
        #[cfg(feature = "null-journal")]
        module.add_function(wrap_pyfunction!(crate::agent::open_pem_without_receipts, module)?)?;
        module.add("DENIAL_CODES", PyTuple::new(module.py(), codes)?)?;
        module.add("LOOSENING_VARIABLES", PyTuple::new(module.py(), environment::VARIABLES)?)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
