//! The shapes of single terms, for the API's description: what a text must look like so that its parser takes it.
//!
//! The parsers decide, here is only told what they take; tests tie each pattern to its parser. A pattern speaks of the text
//! without white space around it, which most parsers drop. What no pattern can say, such as that a time is not over or
//! that a port range begins with its lower port, the parser still checks.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use utoipa::openapi::schema::{AllOfBuilder, AnyOfBuilder, ObjectBuilder, OneOfBuilder, Ref, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{GrantNew, RequestApproval, RequestNew};

#[cfg(test)]
mod tests;

/// A character that breaks no line, turns no reading order and steers no terminal; with `\s` in it, no white space either.
macro_rules! plain {
    ($also:literal) => {
        concat!("[^", $also, r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
    };
}

/// A day of the week, or a range of days.
macro_rules! days {
    () => {
        concat!(
            "([Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]|[Ss][Uu][Nn])",
            "(-([Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]|[Ss][Uu][Nn]))?"
        )
    };
}

/// A port, 1 to 65535.
macro_rules! port {
    () => {
        "0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
    };
}

/// One word, as config files, file names and shells take it.
const WORD: Text =
    Text { pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$", chars: 1..=63, examples: &["laptop", "berlin-2"] };
/// A span of ten years at most.
const SPAN: Text = Text {
    pattern: concat!(
        "^0*(([1-3][0-9]{8}|[1-9][0-9]{0,7})s|([1-5][0-9]{6}|[1-9][0-9]{0,5})m|",
        "([1-8][0-9]{4}|[1-9][0-9]{0,3})h|([1-3][0-9]{3}|[1-9][0-9]{0,2})d)$"
    ),
    chars: 2..=usize::MAX,
    examples: &["8h", "90d"],
};
/// 32 bytes in base64; the last character before the `=` carries four bits.
const KEY: Text = Text {
    pattern: "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$",
    chars: 44..=44,
    examples: &["xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="],
};
/// IPv4, an address or a prefix.
const V4: Text = Text {
    pattern: concat!(
        "^(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}",
        "(/(3[0-2]|[12][0-9]|[1-9]))?$"
    ),
    chars: 7..=18,
    examples: &["10.0.5.20", "10.0.5.0/24"],
};
/// IPv6, an address or a prefix: its characters, since a pattern for its grammar could not be read.
const V6: Text = Text {
    pattern: "^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(/(12[0-8]|1[01][0-9]|[1-9][0-9]?))?$",
    chars: 2..=49,
    examples: &["fd00:5::20", "fd00:5::/64"],
};
/// Two labels or more; the last is no number.
const DNS_NAME: Text = Text {
    pattern: concat!(
        "^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?[.])+",
        "[0-9]*([A-Za-z_]|[0-9]-+[A-Za-z0-9_])([A-Za-z0-9_-]*[A-Za-z0-9_])?[.]?$"
    ),
    chars: 3..=254,
    examples: &["db.shop.example"],
};

/// A text of a certain form.
struct Text {
    pattern: &'static str,
    /// How many characters it has; up to `usize::MAX` where the pattern bounds what counts.
    chars: RangeInclusive<usize>,
    examples: &'static [&'static str],
}

impl Text {
    fn schema(&self, description: &str) -> ObjectBuilder {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description((!description.is_empty()).then_some(description))
            .pattern(Some(self.pattern))
            .min_length(Some(*self.chars.start()))
            .max_length(Some(*self.chars.end()).filter(|most| *most < usize::MAX))
            .examples(self.examples.iter().copied())
    }
}

/// Makes a marker with its schema of each term; the comment is the schema's description.
macro_rules! shapes {
    ($($(#[doc = $doc:literal])+ $name:ident: $schema:expr;)*) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone, Copy)]
            pub enum $name {}

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let schema: fn(&str) -> RefOr<Schema> = $schema;
                    schema(concat!($($doc),+).trim())
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )*
    };
}

shapes! {
    /// An email address, the name of a person; compared without case. 64 bytes at most before the `@`.
    Email: |described| Text {
        pattern: concat!(
            r"^[\p{L}\p{N}!#$%&'*+/=?^_{|}~.-]{1,64}@",
            r"[\p{L}\p{N}][\p{L}\p{N}-]*([.][\p{L}\p{N}][\p{L}\p{N}-]*)*$"
        ),
        chars: 3..=254,
        examples: &["dba@agency.example", "support@shop.example"],
    }
    .schema(described)
    .into();
    /// What people call somebody: one line in any script.
    PersonName: |described| Text {
        pattern: concat!("^", plain!(r"\s"), plain!(""), "*$"),
        chars: 1..=100,
        examples: &["Agency DBA", "Zoë Ångström"],
    }
    .schema(described)
    .into();
    /// A device's name, unique for the person.
    DeviceName: |described| WORD.schema(described).into();
    /// A resource's name; compared without case.
    ResourceName: |described| Text { examples: &["customer-db"], ..WORD }.schema(described).into();
    /// A group's name; compared without case.
    GroupName: |described| Text { examples: &["support"], ..WORD }.schema(described).into();
    /// A gateway's name.
    GatewayName: |described| Text { examples: &["berlin"], ..WORD }.schema(described).into();
    /// The name of a directory.
    SourceName: |described| Text { examples: &["okta"], ..WORD }.schema(described).into();
    /// An API token's name.
    TokenName: |described| Text { examples: &["ci"], ..WORD }.schema(described).into();
    /// A span of time in seconds, minutes, hours or days; ten years at most.
    Span: |described| SPAN.schema(described).into();
    /// When something ends or begins: a span from this moment on, or a time to come (RFC 3339); ten years at most.
    TimeLimit: |described| AnyOfBuilder::new()
        .description(Some(described))
        .item(SPAN.schema(""))
        .item(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
                .examples(["2036-06-30T18:00:00Z"]),
        )
        .into();
    /// A destination behind the gateways: an IP address, a prefix without host bits, or a DNS name.
    Target: |described| AnyOfBuilder::new()
        .description(Some(described))
        .item(V4.schema(""))
        .item(V6.schema(""))
        .item(DNS_NAME.schema(""))
        .into();
    /// A protocol with a port or a range of ports, the lower port first; or `icmp`.
    AllowRule: |described| Text {
        pattern: concat!(
            "^([Ii][Cc][Mm][Pp]|([Tt][Cc][Pp]|[Uu][Dd][Pp])/",
            port!(),
            "(-",
            port!(),
            ")?)$"
        ),
        chars: 4..=usize::MAX,
        examples: &["tcp/5432", "udp/53", "tcp/8000-8010", "icmp"],
    }
    .schema(described)
    .into();
    /// Hours of the week: days, times, and a time zone that the server's system knows.
    Hours: |described| Text {
        pattern: concat!(
            "^",
            days!(),
            "(,",
            days!(),
            ")* +([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00) +[A-Za-z][A-Za-z0-9/_+-]{0,63}$"
        ),
        chars: 17..=usize::MAX,
        examples: &["mon-fri 08:00-18:00 Europe/Berlin"],
    }
    .schema(described)
    .into();
    /// Why, for the record: one line in any script.
    Reason: |described| Text {
        pattern: concat!("^", plain!(r"\s"), plain!(""), "*$"),
        chars: 1..=500,
        examples: &["migrate the orders table"],
    }
    .schema(described)
    .into();
    /// Why, for the record: one line in any script; an empty one is none.
    Remark: |described| Text {
        pattern: concat!("^", plain!(""), "*$"),
        chars: 0..=500,
        examples: &["contract ended"],
    }
    .schema(described)
    .into();
    /// A WireGuard public key, 32 bytes in base64, and none of the few that protect nothing.
    PublicKey: |described| KEY.schema(described).into();
    /// A key that both ends share, 32 bytes in base64.
    PresharedKey: |described| KEY.schema(described).into();
}

/// A grant to give: to one of a person and a group, with one of a span and an end.
#[derive(Debug, Clone, Copy)]
pub enum GrantNewBody {}

impl PartialSchema for GrantNewBody {
    fn schema() -> RefOr<Schema> {
        let new = Ref::from_schema_name(GrantNew::name());
        AllOfBuilder::new().item(new).item(one_of(["email", "group"])).item(one_of(["for", "until"])).into()
    }
}

impl ToSchema for GrantNewBody {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((GrantNew::name().into_owned(), GrantNew::schema()));
        GrantNew::schemas(schemas);
    }
}

/// A request for access, with one of a span and an end.
#[derive(Debug, Clone, Copy)]
pub enum RequestNewBody {}

impl PartialSchema for RequestNewBody {
    fn schema() -> RefOr<Schema> {
        AllOfBuilder::new().item(Ref::from_schema_name(RequestNew::name())).item(one_of(["for", "until"])).into()
    }
}

impl ToSchema for RequestNewBody {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((RequestNew::name().into_owned(), RequestNew::schema()));
        RequestNew::schemas(schemas);
    }
}

/// An approval, with less time than was asked for or not: one of a span and an end at most.
#[derive(Debug, Clone, Copy)]
pub enum RequestApprovalBody {}

impl PartialSchema for RequestApprovalBody {
    fn schema() -> RefOr<Schema> {
        let without = |field: &str| {
            let none = ObjectBuilder::new().schema_type(Type::Null);
            ObjectBuilder::new().schema_type(SchemaType::AnyValue).property(field, none)
        };
        let one_at_most = AnyOfBuilder::new().item(without("for")).item(without("until"));
        AllOfBuilder::new().item(Ref::from_schema_name(RequestApproval::name())).item(one_at_most).into()
    }
}

impl ToSchema for RequestApprovalBody {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((RequestApproval::name().into_owned(), RequestApproval::schema()));
        RequestApproval::schemas(schemas);
    }
}

/// Exactly one of these fields is there and not `null`.
fn one_of(fields: [&str; 2]) -> OneOfBuilder {
    fields.into_iter().fold(OneOfBuilder::new(), |one, field| {
        let given = ObjectBuilder::new().schema_type(Type::String);
        one.item(ObjectBuilder::new().schema_type(SchemaType::AnyValue).property(field, given).required(field))
    })
}
