//! The document that describes the service (OpenAPI 3.1), made of the table of routes.

use serde_json::{Map, Value, json};

use super::access::Open;
use super::table::{Place, rows};
use crate::access::Role;

/// The whole document.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for row in rows() {
        let parameters: Vec<Value> = row
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({ "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": { "type": "string" } }))
            .chain(row.asks.iter().map(|asked| {
                json!({ "name": asked.name, "in": "query", "required": false, "description": asked.about,
                        "schema": { "type": asked.kind } })
            }))
            .chain(row.makes.map(|_| {
                json!({ "name": "Idempotency-Key", "in": "header", "required": false,
                        "description": "A text of your own: this request is carried out once however often it is sent",
                        "schema": { "type": "string", "maxLength": 128 } })
            }))
            .collect();
        let mut operation = json!({
            "summary": row.about,
            "parameters": parameters,
            "responses": {
                "2XX": { "description": "Done, or found." },
                "4XX": { "$ref": "#/components/responses/refusal" },
                "5XX": { "$ref": "#/components/responses/refusal" },
            },
        });
        if let Some(members) = operation.as_object_mut() {
            if !row.takes.is_empty() {
                let named = row.takes.iter().map(|member| {
                    (member.name.into(), json!({ "type": member.kind, "description": member.about }))
                });
                let schema = json!({
                    "type": "object",
                    "additionalProperties": false,
                    "properties": Value::Object(named.collect()),
                });
                members.insert(
                    "requestBody".into(),
                    json!({ "content": { "application/json": { "schema": schema } } }),
                );
            }
            match row.open {
                Open::Everyone => members.insert("security".into(), json!([])),
                Open::Roles(_) | Open::AgentOr(_) | Open::SenderOr(_) | Open::TokenOr(_) => {
                    if row.open.admits_agents() {
                        members.insert("security".into(), json!([{ "possession": [] }, { "key": [] }]));
                    }
                    if let Open::TokenOr(_) = row.open {
                        members.insert("security".into(), json!([{ "enrolment": [] }, { "key": [] }]));
                    }
                    let roles = Role::ALL.into_iter().filter(|role| row.open.admits(*role)).map(Role::word);
                    members.insert("x-kakunin-roles".into(), roles.collect())
                }
                Open::Agent => members.insert("security".into(), json!([{ "possession": [] }])),
            };
        }
        let path = paths.entry(row.path.replace("{*", "{")).or_insert_with(|| match row.place {
            Place::Api => json!({}),
            Place::Top => json!({ "servers": [{ "url": "/" }] }),
        });
        if let Some(path) = path.as_object_mut() {
            path.insert(row.method.as_str().to_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kakunin authority",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/v1" }, { "url": "/api/v1" }],
        "security": [{ "key": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "An API key: kak_live_<prefix>_<secret>." },
                "enrolment": { "type": "http", "scheme": "bearer", "description": "An enrolment token: kak_enrol_<prefix>_<secret>_<SHA-256 of the root>. For one agent and one key, an hour at most." },
                "possession": { "type": "http", "scheme": "signature", "description": "The agent signs each request with the key of its certificate: RFC 9421 in the form of docs/wire.md 6." },
            },
            "responses": {
                "refusal": {
                    "description": "No, and why.",
                    "content": { "application/json": { "schema": {
                        "type": "object",
                        "required": ["error", "code", "request_id"],
                        "properties": {
                            "error": { "type": "string", "description": "For people." },
                            "code": { "type": "string", "description": "Stable." },
                            "request_id": { "type": "string", "description": "Also in the header X-Request-Id and in the log." },
                        },
                    } } },
                },
            },
        },
    })
}
