//! The OpenAPI document: what each route of the table can be asked, in which form it answers, with which codes.

mod operations;
mod schemas;

use chapada_listener::RouteEntry;
use serde_json::{Map, Value, json};

/// Where it is served.
pub(super) const PATH: &str = "/openapi.json";

/// What any call can be answered with besides, by what stands around the routes.
const ANY: &[(u16, &str)] = &[
    (401, "credentials are needed"),
    (403, "the caller is not allowed to, or a web page of another origin asks"),
    (405, "this method is not allowed here"),
    (502, "no process leads, or the leader cannot be reached"),
    (503, "too much is asked at once, or the store does not answer"),
    (504, "the leader does not answer"),
];
/// What calls that change something can be answered with besides.
const CHANGES: &[(u16, &str)] = &[
    (400, "the body is no JSON, or the query makes no sense"),
    (408, "the body comes too slowly"),
    (413, "the body is too large"),
    (415, "the content type is not application/json"),
    (422, "fields are wrong; `details` names each"),
];

/// One thing that can be asked.
struct Operation {
    method: &'static str,
    /// With `{id}` for an id, slashes percent-encoded or not.
    path: &'static str,
    summary: &'static str,
    query: Vec<(&'static str, Form)>,
    body: Option<&'static str>,
    answers: Vec<Said>,
}

/// The form of a parameter.
#[derive(Clone, Copy)]
enum Form {
    /// `true` or not.
    Flag,
    Text,
    /// May be there several times.
    Texts,
}

/// An answer.
struct Said {
    status: u16,
    media: &'static str,
    /// The name of its schema; empty when there is no body.
    schema: &'static str,
    about: &'static str,
}

impl Operation {
    fn new(method: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self { method, path, summary, query: Vec::new(), body: None, answers: Vec::new() }
    }

    fn query(mut self, form: Form, names: &[&'static str]) -> Self {
        self.query.extend(names.iter().map(|name| (*name, form)));
        self
    }

    fn body(mut self, schema: &'static str) -> Self {
        self.body = Some(schema);
        self
    }

    fn json(self, status: u16, schema: &'static str) -> Self {
        self.says(status, "application/json", schema)
    }

    fn says(mut self, status: u16, media: &'static str, schema: &'static str) -> Self {
        self.answers.push(Said { status, media, schema, about: "as asked" });
        self
    }

    fn fails(mut self, status: u16, about: &'static str) -> Self {
        self.answers.push(Said { status, media: "application/json", schema: "Error", about });
        self
    }

    /// Whether calls of it go to the route.
    fn belongs_to(&self, route: &RouteEntry) -> bool {
        let fits = match route.pattern.strip_suffix("/{*path}") {
            None => route.pattern == self.path,
            Some(above) => {
                let rest = self.path.strip_prefix(above);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with("::"))
            }
        };
        fits && route.method.as_ref().is_some_and(|method| method.as_str() == self.method)
    }

    fn document(&self) -> Value {
        let name = |path: &str| {
            path.replace(['/', '{', '}', ':', '*'], " ").split_whitespace().collect::<Vec<_>>().join("-")
        };
        let mut operation = json!({
            "operationId": format!("{}-{}", self.method.to_lowercase(), name(self.path)),
            "summary": self.summary,
            "parameters": self.parameters(),
            "responses": self.responses(),
        });
        if let Some(schema) = self.body {
            operation["requestBody"] =
                json!({"required": true, "content": content("application/json", schema)});
        }
        operation
    }

    fn parameters(&self) -> Vec<Value> {
        let in_path = self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(|name| {
            let schema = match name {
                "version" => json!({"$ref": "#/components/schemas/Timestamp"}),
                "id" | "group" => json!({"type": "string", "pattern": "^[a-z0-9]{1,12}$"}),
                _ => json!({"type": "string", "minLength": 1}),
            };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        });
        let in_query = self.query.iter().map(|(name, form)| {
            let schema = match form {
                Form::Flag => json!({"type": "boolean"}),
                Form::Text => json!({"type": "string"}),
                Form::Texts => json!({"type": "array", "items": {"type": "string"}}),
            };
            json!({"name": name, "in": "query", "required": false, "schema": schema})
        });
        in_path.chain(in_query).collect()
    }

    fn responses(&self) -> Value {
        let mut responses = Map::new();
        let changes = if self.method == "GET" || self.method == "HEAD" { &[] } else { CHANGES };
        for (status, about) in ANY.iter().chain(changes) {
            let error = json!({"description": about, "content": content("application/json", "Error")});
            responses.insert(status.to_string(), error);
        }
        for Said { status, media, schema, about } in &self.answers {
            let response = responses.entry(status.to_string()).or_insert_with(|| json!({}));
            response["description"] = json!(about);
            if !schema.is_empty() {
                response["content"][*media] = content(media, schema)[*media].clone();
            }
        }
        Value::Object(responses)
    }
}

fn content(media: &str, schema: &str) -> Value {
    let schema = match schema {
        "Text" => json!({"type": "string"}),
        name => json!({"$ref": format!("#/components/schemas/{name}")}),
    };
    json!({media: {"schema": schema}})
}

/// The document of these routes.
pub(super) fn of(table: &[RouteEntry], version: &str) -> Value {
    let mut paths = Map::new();
    let operations = operations::all();
    for operation in table.iter().flat_map(|route| operations.iter().filter(|one| one.belongs_to(route))) {
        let path = paths.entry(operation.path.to_owned()).or_insert_with(|| json!({}));
        path[operation.method.to_lowercase()] = operation.document();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chapada services",
            "version": version,
            "description": "Marathon's REST API. An id may hold slashes, plain or percent-encoded.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
        "security": [{}, {"basic": []}],
    })
}

#[cfg(test)]
mod tests {
    use super::super::path::{Target, target};
    use super::*;

    /// Both directions, for any table.
    pub(crate) fn differences(table: &[RouteEntry]) -> Vec<String> {
        let operations = operations::all();
        let said = |route: &&RouteEntry| !operations.iter().any(|one| one.belongs_to(route));
        let there = |one: &&Operation| !table.iter().any(|route| one.belongs_to(route));
        let silent = table
            .iter()
            .filter(said)
            .map(|route| format!("{:?} {} is in no document", route.method, route.pattern));
        let ghosts =
            operations.iter().filter(there).map(|one| format!("{} {} has no route", one.method, one.path));
        silent.chain(ghosts).collect()
    }

    #[tokio::test]
    async fn every_route_is_in_the_document_and_nothing_else() {
        let table = crate::tests::cluster::Cluster::start().await.table;
        assert_eq!(differences(&table), Vec::<String>::new());
        let document = of(&table, "1");
        let named =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len());
        assert_eq!(named.sum::<usize>(), operations::all().len(), "no operation stands there twice");
    }

    /// What the handlers tell apart by the words of a path is told apart here, and nothing else is.
    #[test]
    fn every_path_leads_where_the_handlers_take_it() {
        let operations = operations::all();
        let below = |prefix: &'static str| {
            let paths = operations.iter().map(|one| one.path);
            paths.filter(move |path| {
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let filled = |path: &str, prefix: &str| {
            let mut path = path[prefix.len()..].to_owned();
            for (name, value) in
                [("id", "a"), ("group", "g"), ("task", "t"), ("version", "v"), ("instance", "i")]
            {
                path = path.replace(&format!("{{{name}}}"), value);
            }
            path.trim_start_matches('/').to_owned()
        };
        // What has a route of its own.
        let own = ["/v2/apps", "/v2/groups", "/v2/pods"];
        let check = |prefix: &'static str, documented: &dyn Fn(&str) -> (&'static str, Vec<&'static str>)| {
            for path in below(prefix) {
                assert_eq!(documented(&filled(path, prefix)).0, path, "where {path} leads");
            }
            for wanted in documented("").1.into_iter().filter(|wanted| !own.contains(wanted)) {
                assert!(below(prefix).any(|path| path == wanted), "{wanted} is in no document");
            }
        };
        check("/v2/apps", &|path| {
            let all = Target::one_of_each().iter().map(Target::documented).collect();
            (target(path).documented(), all)
        });
        check("/v2/pods", &super::super::pods::documented);
        check("/v2/groups", &super::super::groups::documented);
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let schemas = schemas::all();
        let text = schemas.to_string();
        let in_schemas =
            text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
        let operations = operations::all();
        let of_operations = operations
            .iter()
            .flat_map(|one| one.answers.iter().map(|said| said.schema).chain(one.body))
            .filter(|name| !name.is_empty() && *name != "Text");
        for name in in_schemas.chain(of_operations) {
            assert!(schemas.get(name).is_some(), "no schema {name}");
        }
    }
}
