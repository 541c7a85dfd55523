//! The signature base (RFC 9421 section 2.5): the lines that a proof signs.

use crate::chain::CHAIN_HEADER;
use crate::time::UnixTime;

/// What of a request a proof speaks for, besides its content and the chain, as it stands in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Host and port it is sent to: of `host` in HTTP/1.1, of `:authority` in HTTP/2. Without the port that is the scheme's default.
    pub authority: &'a str,
    /// The path, encoded as it is sent; an empty one is `/`.
    pub path: &'a str,
    /// What stands behind the `?`, encoded as it is sent; `None` without a `?`.
    pub query: Option<&'a str>,
}

impl Target<'_> {
    /// Whether each part can stand on a line of its own.
    pub(super) fn is_clean(&self) -> bool {
        let parts = [self.method, self.authority, self.path, self.query.unwrap_or("-")];
        let visible = parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_graphic()));
        visible && !self.method.is_empty() && !self.authority.is_empty()
    }
}

/// The parameters of a proof, in the order in which they are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters<'a> {
    pub(super) created: UnixTime,
    pub(super) nonce: &'a str,
    pub(super) keyid: &'a str,
}

impl Parameters<'_> {
    /// The value of `signature-input` behind the label.
    pub(super) fn to_text(self, components: &str) -> String {
        let Self { created, nonce, keyid } = self;
        let created = created.seconds();
        format!("{components};created={created};nonce=\"{nonce}\";keyid=\"{keyid}\";tag=\"{TAG}\"")
    }
}

/// The values of the fields that a proof covers, as they are or were sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) digest: &'a str,
    pub(super) certificates: &'a str,
    /// What the call follows from; a request that says it has it signed.
    pub(super) link: Option<&'a str>,
}

impl Fields<'_> {
    /// The components that cover them, in their order.
    pub(super) const fn components(&self) -> &'static str {
        if self.link.is_some() { COMPONENTS_OF_A_CHAIN } else { COMPONENTS }
    }
}

/// What is signed for a request; `parameters` is the value of `signature-input` behind the label, as it is or was sent.
pub(super) fn of_request(target: &Target<'_>, fields: &Fields<'_>, parameters: &str) -> String {
    let authority = target.authority.to_ascii_lowercase();
    let path = if target.path.is_empty() { "/" } else { target.path };
    let query = format!("?{}", target.query.unwrap_or_default());
    let always = [
        ("@method", target.method),
        ("@authority", &authority),
        ("@path", path),
        ("@query", &query),
        (CONTENT_DIGEST, fields.digest),
        (CHAIN, fields.certificates),
    ];
    let link = fields.link.map(|link| (CHAIN_HEADER, link));
    of_lines(always.into_iter().chain(link), parameters)
}

pub(super) fn of_lines<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)>, parameters: &str) -> String {
    // A chain is some thousand octets, and most bases are not much more.
    let mut base = String::with_capacity(CAPACITY);
    for (name, value) in lines {
        base.extend(["\"", name, "\": ", value, "\n"]);
    }
    base.extend(["\"@signature-params\": ", parameters]);
    base
}

const CAPACITY: usize = 4 << 10;
/// RFC 9530 section 2.
pub(super) const CONTENT_DIGEST: &str = "content-digest";
/// Our own: the agent's certificate and those that lead to its root, as byte sequences.
pub(super) const CHAIN: &str = "kakunin-certificate-chain";
/// RFC 9421 section 4.1.
pub(super) const SIGNATURE_INPUT: &str = "signature-input";
/// RFC 9421 section 4.2.
pub(super) const SIGNATURE: &str = "signature";
/// The one member of both fields.
pub(super) const LABEL: &str = "kakunin=";
pub(super) const TAG: &str = "kakunin";
pub(super) const COMPONENTS: &str =
    r#"("@method" "@authority" "@path" "@query" "content-digest" "kakunin-certificate-chain")"#;
/// Of a request that has the field [`CHAIN_HEADER`].
pub(super) const COMPONENTS_OF_A_CHAIN: &str = r#"("@method" "@authority" "@path" "@query" "content-digest" "kakunin-certificate-chain" "kakunin-chain")"#;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9421 sections 2.2.3, 2.2.6 and 2.2.7.
    #[test]
    fn authority_path_and_query_are_normalised_as_the_rfc_says() {
        let target = Target { method: "GET", authority: "WWW.Example.COM", path: "", query: None };
        let fields = Fields { digest: "d", certificates: "c", link: None };
        let base = of_request(&target, &fields, "p");
        let lines = "\"@method\": GET\n\"@authority\": www.example.com\n\"@path\": /\n\"@query\": ?\n\"content-digest\": d\n\"kakunin-certificate-chain\": c\n\"@signature-params\": p";
        assert_eq!(base, lines);
        let target = Target { path: "/a%20b", query: Some("param=value&foo=bar&baz=batman"), ..target };
        let base = of_request(&target, &fields, "p");
        assert!(base.contains("\"@path\": /a%20b\n\"@query\": ?param=value&foo=bar&baz=batman\n"));
        let base = of_request(&target, &Fields { link: Some("l"), ..fields }, "p");
        assert!(
            base.ends_with(
                "\"kakunin-certificate-chain\": c\n\"kakunin-chain\": l\n\"@signature-params\": p"
            )
        );
    }

    #[test]
    fn what_would_begin_a_line_is_no_target() {
        let good = Target { method: "GET", authority: "a", path: "/", query: Some("") };
        assert!(good.is_clean());
        for wrong in [
            Target { method: "", ..good },
            Target { method: "GET\n", ..good },
            Target { authority: "", ..good },
            Target { authority: "a b", ..good },
            Target { path: "/\n\"@query\": ?", ..good },
            Target { path: "/\u{e4}", ..good },
            Target { query: Some("\r"), ..good },
        ] {
            assert!(!wrong.is_clean(), "{wrong:?}");
        }
    }
}
