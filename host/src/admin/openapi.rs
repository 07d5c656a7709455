//! `/openapi.json`: the table of routes, in OpenAPI's words. What every route of a kind has in common is added here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::SchemaGenerator;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use super::desk::Desk;
use super::routes::{Answer, Body, Content, Method, ROUTES, Route};
use crate::api;
use crate::config::schema;

pub(super) async fn document(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(write(desk.has_token))
}

/// The whole document, of a host that asks for a token or of one that does not.
pub(super) fn write(has_token: bool) -> Value {
    let mut generator = generator(Contract::Serialize);
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.word()] = operation(route, has_token, &mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    // What is sent may leave out what has a default; what is answered never does.
    let mut sent = self::generator(Contract::Deserialize);
    sent.subschema_for::<api::Positions>();
    schemas.extend(sent.take_definitions(true));
    schemas.insert("BudgetChange".to_owned(), schema::budget_patch());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "gristmill's admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Looks in on the plugins of a gristmill host, and changes them while they work.",
        },
        "paths": paths,
        "security": if has_token { json!([{ "bearer": [] }]) } else { json!([]) },
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "`admin.token` of gristmill.toml; not asked for when there is none.",
            } },
        },
    })
}

fn generator(contract: Contract) -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.contract = contract;
    settings.into_generator()
}

fn operation(route: &Route, has_token: bool, generator: &mut SchemaGenerator) -> Value {
    let mut answers = Map::new();
    for answer in route.answers.iter().chain(&common(route, has_token)) {
        answers.entry(answer.status.to_string()).or_insert_with(|| response(answer, generator));
    }
    if route.path == "/" && has_token {
        answers["401"]["content"]["text/html"] = json!({ "schema": { "type": "string" } });
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.says,
        "responses": answers,
    });
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body(route.body) {
        operation["requestBody"] = body;
    }
    if route.is_open {
        operation["security"] = json!([]);
    }
    operation
}

/// What every route of a kind may answer.
fn common(route: &Route, has_token: bool) -> Vec<Answer> {
    let is_about_plugin = route.path.contains("{name}");
    let has_body = route.body != Body::Nothing;
    let cases = [
        (has_token && !route.is_open, 401, "The token is missing or wrong"),
        (!has_token && route.method != Method::Get, 403, "A page of another site asks for it"),
        (is_about_plugin, 400, "The path, a parameter or the body is not what was expected"),
        (is_about_plugin, 404, "There is no such plugin"),
        (has_body, 408, "The body came too slowly"),
        (has_body, 413, "The body is too large"),
        (has_body, 415, "The body is of another type"),
    ];
    let answer = |(_, status, says)| Answer { status, says, content: Content::Problem };
    cases.into_iter().filter(|(holds, ..)| *holds).map(answer).collect()
}

fn response(answer: &Answer, generator: &mut SchemaGenerator) -> Value {
    let content = match answer.content {
        Content::Json(shape) => json!({ "application/json": { "schema": shape(generator) } }),
        Content::AnyJson => json!({ "application/json": { "schema": { "type": "object" } } }),
        Content::Problem => {
            let schema = generator.subschema_for::<api::Problem>();
            json!({ "application/problem+json": { "schema": schema } })
        }
        // Until OpenAPI 3.2 there is no word for what stands in a stream: by custom it is said of each event.
        Content::Events(shape) => json!({ "text/event-stream": { "schema": {
            "type": "object",
            "required": ["data"],
            "properties": { "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": shape(generator),
            } },
        } } }),
        Content::Text(kinds) => {
            let text = |kind: &&str| ((*kind).to_owned(), json!({ "schema": { "type": "string" } }));
            kinds.iter().map(text).collect::<Map<_, _>>().into()
        }
    };
    json!({ "description": answer.says, "content": content })
}

fn body(body: Body) -> Option<Value> {
    let (kinds, schema): (&[&str], _) = match body {
        Body::Nothing => return None,
        Body::Budget => (&["application/json", "application/merge-patch+json"], reference("BudgetChange")),
        Body::Positions => (&["application/json"], reference("Positions")),
        // In OpenAPI 3.1 a body of bytes has no schema.
        Body::Wasm => (&["application/wasm", "application/octet-stream"], json!({})),
    };
    let content: Map<_, _> =
        kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": schema }))).collect();
    Some(json!({ "required": true, "content": content }))
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = Vec::new();
    if route.path.contains("{name}") {
        parameters.push(json!({
            "name": "name",
            "in": "path",
            "required": true,
            "description": "The plugin's name in gristmill.toml.",
            "schema": { "type": "string", "minLength": 1 },
        }));
    }
    parameters.extend(route.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.says,
            "schema": (parameter.shape)(),
        })
    }));
    parameters
}
