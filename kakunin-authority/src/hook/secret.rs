//! The secret of a webhook, and the signatures that are made with it.

use std::fmt;

use kakunin_core::digest::hex;
use kakunin_core::time::UnixTime;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

use super::SignatureForm;

/// `whsec_` and 64 hexadecimal digits; the key is the whole text. Wiped when dropped and never printed.
pub struct HookSecret(Zeroizing<String>);

impl HookSecret {
    /// Makes one of 256 random bits.
    ///
    /// # Errors
    /// [`ring::error::Unspecified`] when there is no randomness.
    pub fn generate() -> Result<Self, ring::error::Unspecified> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random)?;
        let text = Zeroizing::new(format!("{HEAD}{}", hex(&random)));
        random.zeroize();
        Ok(Self(text))
    }

    /// Reads one; any other form is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(HEAD)?;
        let fits = digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text, to be shown once.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Its last four characters, by which people tell secrets apart.
    #[must_use]
    pub fn hint(&self) -> String {
        let start = self.0.len().saturating_sub(4);
        self.0.get(start..).unwrap_or_default().to_owned()
    }

    fn hmac(&self, parts: &[&[u8]]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes()));
        for part in parts {
            context.update(part);
        }
        hex(context.sign().as_ref())
    }
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret(..)")
    }
}

/// `Kakunin-Signature`: the time, and HMAC-SHA256 over time, id and body with dots between, by each secret.
#[must_use]
pub fn own_signature(secrets: &[HookSecret], at: UnixTime, id: &str, body: &[u8]) -> String {
    let time = at.seconds().to_string();
    let mut header = format!("t={time}");
    for secret in secrets {
        let signed = secret.hmac(&[time.as_bytes(), b".", id.as_bytes(), b".", body]);
        header.push_str(",v1=");
        header.push_str(&signed);
    }
    header
}

/// `X-Kakunin-Signature` in one of the forms of the hosted service, which have room for one signature.
#[must_use]
pub fn hosted_signature(
    form: SignatureForm,
    secret: &HookSecret,
    at: UnixTime,
    body: &[u8],
) -> Option<String> {
    match form {
        SignatureForm::Own => None,
        SignatureForm::HostedBody => Some(format!("sha256={}", secret.hmac(&[body]))),
        SignatureForm::HostedTimed => {
            let time = at.seconds().to_string();
            Some(format!("t={time},v1={}", secret.hmac(&[time.as_bytes(), b".", body])))
        }
    }
}

const HEAD: &str = "whsec_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_a_foreign_implementation() {
        // By `openssl dgst -sha256 -hmac`, OpenSSL 3.
        let secret = HookSecret::parse(&format!("whsec_{}", "0123456789abcdef".repeat(4))).unwrap();
        let (at, body) = (UnixTime::from_seconds(1_700_000_000), b"{\"event\":\"webhook.test\"}");
        let own = own_signature(std::slice::from_ref(&secret), at, "evt_1", body);
        assert_eq!(own, format!("t=1700000000,v1={OWN}"));
        let hosted = |form| hosted_signature(form, &secret, at, body);
        assert_eq!(hosted(SignatureForm::Own), None);
        assert_eq!(hosted(SignatureForm::HostedBody), Some(format!("sha256={BODY}")));
        assert_eq!(hosted(SignatureForm::HostedTimed), Some(format!("t=1700000000,v1={TIMED}")));
        let both = [HookSecret::generate().unwrap(), secret];
        let header = own_signature(&both, at, "evt_1", body);
        assert_eq!(header.matches(",v1=").count(), 2);
        assert!(header.ends_with(OWN), "{header}");
    }

    #[test]
    fn a_secret_has_one_form_and_is_never_printed() {
        let secret = HookSecret::generate().unwrap();
        assert_eq!(HookSecret::parse(secret.text()).unwrap().text(), secret.text());
        assert!(secret.text().ends_with(&secret.hint()) && secret.hint().len() == 4);
        assert_eq!(format!("{secret:?}"), "HookSecret(..)");
        for wrong in ["", "whsec_", "whsec_00", &secret.text().to_uppercase(), &format!("{}0", secret.text())]
        {
            assert!(HookSecret::parse(wrong).is_none(), "{wrong}");
        }
    }

    const OWN: &str = "3421f8a7bf1a90a65bf9bc261e0e5d3f98b193efefb7d21f53dc3234d5a57b95";
    const BODY: &str = "5bdb2fd8810b559f75068012291dc8f41ad7b0e68590b196c1dd3e90c3dcfbca";
    const TIMED: &str = "c8a62ecbe1115af3dc6522df804de25d5050dcc6fe91e6b76e6c76e856ae686f";
}
