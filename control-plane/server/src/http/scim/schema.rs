//! The attributes that are kept, and what a client finds out about this server (RFC 7643, sections 5 to 7).

use serde_json::{Map, Value, json};

pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(super) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const EXTENSIONS: &str = "urn:ietf:params:scim:schemas:extension:";
/// Resources in one page at most, and where nothing is said.
pub(super) const PAGE_MAX: usize = 1_000;
pub(super) const PAGE_DEFAULT: usize = 100;

/// What an attribute holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    Time,
    Reference,
    Complex(&'static [Attribute]),
}

/// An attribute (RFC 7643, section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) many: bool,
    pub(super) read_only: bool,
    pub(super) case_exact: bool,
    pub(super) required: bool,
    pub(super) unique: bool,
    pub(super) description: &'static str,
}

impl Attribute {
    const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self {
            name,
            kind,
            many: false,
            read_only: false,
            case_exact: false,
            required: false,
            unique: false,
            description,
        }
    }

    const fn many(self) -> Self {
        Self { many: true, ..self }
    }

    const fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    const fn exact(self) -> Self {
        Self { case_exact: true, ..self }
    }

    const fn named(self) -> Self {
        Self { unique: true, ..self.needed() }
    }

    const fn needed(self) -> Self {
        Self { required: true, ..self }
    }

    pub(super) const fn parts(&self) -> &'static [Self] {
        match self.kind {
            Kind::Complex(parts) => parts,
            Kind::Text | Kind::Flag | Kind::Time | Kind::Reference => &[],
        }
    }
}

const META: Attribute = Attribute::new(
    "meta",
    Kind::Complex(&[
        Attribute::new("resourceType", Kind::Text, "User or Group").read_only().exact(),
        Attribute::new("created", Kind::Time, "when it was made").read_only(),
        Attribute::new("lastModified", Kind::Time, "when it changed last").read_only(),
        Attribute::new("location", Kind::Reference, "where it is").read_only().exact(),
        Attribute::new("version", Kind::Text, "its entity tag").read_only().exact(),
    ]),
    "about the resource",
)
.read_only();
const ID: Attribute = Attribute::new("id", Kind::Text, "this server's id").read_only().exact();
const EXTERNAL_ID: Attribute = Attribute::new("externalId", Kind::Text, "the client's own id").exact();

/// What is kept of a user, beside what every resource has.
const USER_OWN: &[Attribute] = &[
    Attribute::new("userName", Kind::Text, "what the directory calls the person").named(),
    Attribute::new(
        "name",
        Kind::Complex(&[
            Attribute::new("formatted", Kind::Text, "the whole name"),
            Attribute::new("familyName", Kind::Text, "the family name"),
            Attribute::new("givenName", Kind::Text, "the given name"),
        ]),
        "the parts of the name",
    ),
    Attribute::new("displayName", Kind::Text, "the name that is shown"),
    // Left out it stays as it is, and a person who is added is active; but it is never without a value.
    Attribute::new("active", Kind::Flag, "false suspends the person at once; they depart after the cooling period")
        .needed(),
    Attribute::new(
        "emails",
        Kind::Complex(&[
            Attribute::new("value", Kind::Text, "the address").needed(),
            Attribute::new("type", Kind::Text, "what it is for, such as work"),
            Attribute::new("primary", Kind::Flag, "whether it goes before the others"),
        ]),
        "addresses; the primary one, or the one for work, is the person's in Doorward; may be left out where userName is one",
    )
    .many()
    .needed(),
    Attribute::new(
        "groups",
        Kind::Complex(&[
            Attribute::new("value", Kind::Text, "the group's id").read_only().exact(),
            Attribute::new("$ref", Kind::Reference, "where the group is").read_only().exact(),
            Attribute::new("display", Kind::Text, "the group's name").read_only(),
        ]),
        "groups of this directory",
    )
    .many()
    .read_only(),
];

const GROUP_OWN: &[Attribute] = &[
    Attribute::new("displayName", Kind::Text, "the group's name").named(),
    Attribute::new(
        "members",
        Kind::Complex(&[
            Attribute::new("value", Kind::Text, "the user's id").exact(),
            Attribute::new("$ref", Kind::Reference, "where the user is").exact(),
        ]),
        "who is in the group",
    )
    .many(),
];

/// What RFC 7643 knows and this server does not keep: taken and forgotten, because directories send all they have.
const FORGOTTEN: &[&str] = &[
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "password",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "roles",
    "x509Certificates",
    "honorificPrefix",
    "honorificSuffix",
    "middleName",
    "display",
];

/// Users or groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    User,
    Group,
}

impl Resource {
    pub(super) const fn urn(self) -> &'static str {
        match self {
            Self::User => USER,
            Self::Group => GROUP,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    pub(super) const fn endpoint(self) -> &'static str {
        match self {
            Self::User => "/Users",
            Self::Group => "/Groups",
        }
    }

    const fn own(self) -> &'static [Attribute] {
        match self {
            Self::User => USER_OWN,
            Self::Group => GROUP_OWN,
        }
    }

    /// Finds an attribute by its name, whatever its case.
    pub(super) fn attribute(self, name: &str) -> Option<&'static Attribute> {
        const COMMON: &[Attribute] = &[ID, EXTERNAL_ID, META];
        part(COMMON, name).or_else(|| part(self.own(), name))
    }

    /// Says whether a name in front of an attribute means this resource's own attributes.
    pub(super) fn is_own(self, urn: Option<&str>) -> bool {
        urn.is_none_or(|urn| urn.eq_ignore_ascii_case(self.urn()))
    }
}

/// Finds a part of a complex attribute by its name, whatever its case.
pub(super) fn part(of: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    of.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// Says whether an attribute is one that this server takes and forgets.
pub(super) fn is_forgotten(urn: Option<&str>, name: &str) -> bool {
    let extends = |text: &str| text.get(..EXTENSIONS.len()).is_some_and(|start| start.eq_ignore_ascii_case(EXTENSIONS));
    urn.is_some_and(extends) || extends(name) || FORGOTTEN.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn described(attribute: &Attribute) -> Value {
    let kind = match attribute.kind {
        Kind::Text => "string",
        Kind::Flag => "boolean",
        Kind::Time => "dateTime",
        Kind::Reference => "reference",
        Kind::Complex(_) => "complex",
    };
    let mut fields = Map::new();
    let mut field = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    field("name", json!(attribute.name));
    field("type", json!(kind));
    field("multiValued", json!(attribute.many));
    field("description", json!(attribute.description));
    field("required", json!(attribute.required));
    field("mutability", json!(if attribute.read_only { "readOnly" } else { "readWrite" }));
    field("returned", json!("default"));
    match attribute.kind {
        Kind::Text => {
            field("caseExact", json!(attribute.case_exact));
            field("uniqueness", json!(if attribute.unique { "server" } else { "none" }));
        }
        Kind::Reference => {
            field("caseExact", json!(true));
            field("uniqueness", json!("none"));
            let types = match attribute.name {
                "$ref" if attribute.read_only => json!(["Group"]),
                "$ref" => json!(["User"]),
                _ => json!(["uri"]),
            };
            field("referenceTypes", types);
        }
        Kind::Complex(parts) => {
            field("subAttributes", parts.iter().map(described).collect());
        }
        Kind::Flag | Kind::Time => {}
    }
    Value::Object(fields)
}

/// `/Schemas`, one by one.
pub(super) fn schemas(base: &str) -> Vec<Value> {
    let schema = |resource: Resource, description: &str| {
        let urn = resource.urn();
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": urn,
            "name": resource.word(),
            "description": description,
            "attributes": resource.own().iter().map(described).collect::<Vec<_>>(),
            "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{urn}") },
        })
    };
    vec![schema(Resource::User, "A person"), schema(Resource::Group, "People who are given access together")]
}

/// `/ResourceTypes`, one by one.
pub(super) fn resource_types(base: &str) -> Vec<Value> {
    let kind = |resource: Resource| {
        let word = resource.word();
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": word,
            "name": word,
            "endpoint": resource.endpoint(),
            "description": format!("{word}s of this directory"),
            "schema": resource.urn(),
            "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{word}") },
        })
    };
    vec![kind(Resource::User), kind(Resource::Group)]
}

/// `/ServiceProviderConfig`.
pub(super) fn service_provider(base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": PAGE_MAX },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A token of `doorward scim token add NAME`",
            "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") },
    })
}
