//! What the API says of itself.

use serde_json::json;

use super::super::openapi;
use super::super::routes::ROUTES;
use super::*;

#[test]
fn the_document_has_every_route_and_every_link_in_it_leads_somewhere() {
    let (address, _) = admin(None);
    let (status, body) = get(address, "/openapi.json");
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document, openapi::write(false));
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids: Vec<_> = ROUTES.iter().map(|route| route.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), ROUTES.len());
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method.word()];
        assert_eq!(operation["operationId"], route.id);
        assert!(!operation["summary"].as_str().unwrap().is_empty());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                !parameter["description"].as_str().unwrap().is_empty() && parameter["schema"].is_object()
            );
        }
    }
    let mut links = Vec::new();
    gather_links(&document, &mut links);
    assert!(links.len() > 40, "{}", links.len());
    for link in links {
        assert!(document.pointer(link.trim_start_matches('#')).is_some(), "{link}");
    }
    let guarded = openapi::write(true);
    assert_eq!(guarded["security"], json!([{ "bearer": [] }]));
    assert_eq!(guarded["paths"]["/healthz"]["get"]["security"], json!([]));
    assert!(guarded["paths"]["/"]["get"]["responses"]["401"]["content"]["text/html"].is_object());
}

fn gather_links(value: &Value, links: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            links.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| gather_links(value, links));
        }
        Value::Array(items) => items.iter().for_each(|value| gather_links(value, links)),
        _ => {}
    }
}
