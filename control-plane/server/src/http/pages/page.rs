//! What every page shows around its content.

use std::borrow::Cow;

use askama::Template;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use doorward_domain::{Actor, Role};

use super::assets;
use crate::app::{Caller, Refusal};

/// What a page's handler answers.
pub(crate) type Shown = Result<Response, Refusal>;

/// Renders a template, never to be kept by a browser or a proxy.
pub(crate) fn show(template: &impl Template) -> Shown {
    let text = template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Refusal::Internal("the page could not be rendered: the server's log says why".to_owned())
    })?;
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
}

/// A place to go to.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) href: Cow<'static, str>,
    pub(crate) label: &'static str,
}

const fn link(href: &'static str, label: &'static str) -> Link {
    Link { href: Cow::Borrowed(href), label }
}

/// Who looks at the page.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// The name to show.
    pub(crate) name: String,
    standing: Standing,
}

#[derive(Debug, Clone, Copy)]
enum Standing {
    /// A program, or somebody on this machine: all of the console, no portal of their own.
    Machine,
    Person(Role),
}

impl Who {
    fn of(actor: &Actor) -> Self {
        match actor {
            Actor::Person(person) => Self { name: person.email.to_string(), standing: Standing::Person(person.role) },
            Actor::LocalAdmin { .. }
            | Actor::ApiToken { .. }
            | Actor::Source { .. }
            | Actor::Gateway { .. }
            | Actor::System => Self { name: actor.to_string(), standing: Standing::Machine },
        }
    }

    /// The role, where it is more than everybody's.
    pub(crate) fn role_shown(&self) -> Option<Role> {
        match self.standing {
            Standing::Machine | Standing::Person(Role::Member) => None,
            Standing::Person(role) => Some(role),
        }
    }

    /// Says whether there is a session to end.
    pub(crate) fn has_session(&self) -> bool {
        matches!(self.standing, Standing::Person(_))
    }

    fn sees_console(&self) -> bool {
        match self.standing {
            Standing::Machine => true,
            Standing::Person(role) => role.reads(),
        }
    }

    /// The places of the main menu.
    pub(crate) fn places(&self) -> Vec<Link> {
        let own = [link("/", "Home"), link("/requests", "Requests")];
        let answers = self.answers().then(|| link("/approvals", "Approvals"));
        let console = self.sees_console().then(|| link("/admin", "Console"));
        own.into_iter().filter(|_| self.has_session()).chain(answers).chain(console).collect()
    }

    /// The rooms of the console.
    pub(crate) fn rooms(&self) -> Vec<Link> {
        let audit = match self.standing {
            Standing::Machine => true,
            Standing::Person(role) => role.administers() || role == Role::Auditor,
        };
        let rooms = [
            link("/admin", "Overview"),
            link("/admin/people", "People"),
            link("/admin/groups", "Groups"),
            link("/admin/grants", "Grants"),
            link("/admin/timeline", "Timeline"),
            link("/admin/resources", "Resources"),
            link("/admin/devices", "Devices"),
            link("/admin/gateways", "Gateways"),
        ];
        let rooms = rooms.into_iter().chain(audit.then(|| link("/admin/audit", "Audit")));
        rooms.chain([link("/admin/lockdown", "Lockdown")]).collect()
    }

    /// Says whether it is theirs to answer requests by their role; who answers for a resource or a person besides is led
    /// there from the start page.
    fn answers(&self) -> bool {
        match self.standing {
            Standing::Machine => true,
            Standing::Person(role) => role.answers(),
        }
    }

    fn owns(&self) -> bool {
        match self.standing {
            Standing::Machine => true,
            Standing::Person(role) => role == Role::Owner,
        }
    }

    fn administers(&self) -> bool {
        match self.standing {
            Standing::Machine => true,
            Standing::Person(role) => role.administers(),
        }
    }
}

/// One sentence about what was just done.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    /// `good`, `warn` or `bad`, as the style sheet calls them.
    pub(crate) tone: &'static str,
    pub(crate) text: String,
}

/// The frame of a page.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// Who is signed in, if anybody is.
    pub(crate) who: Option<Who>,
    /// What to tell before the content.
    pub(crate) notice: Option<Notice>,
    /// One column for one task, rather than the whole width.
    pub(crate) narrow: bool,
    here: String,
}

impl Page {
    /// A page at the path `here`.
    pub(crate) fn new(caller: Option<&Caller>, here: &str) -> Self {
        Self { who: caller.map(|caller| Who::of(&caller.0)), notice: None, narrow: false, here: here.to_owned() }
    }

    /// Makes it one narrow column.
    pub(crate) fn narrow(self) -> Self {
        Self { narrow: true, ..self }
    }

    /// Tells something before the content.
    pub(crate) fn telling(self, notice: Option<Notice>) -> Self {
        Self { notice, ..self }
    }

    /// Returns where an asset is found.
    pub(crate) fn asset(&self, name: &str) -> String {
        assets::path(name)
    }

    /// Says whether to show what only admins may do. Leaving it out is a kindness: the use cases refuse by themselves.
    pub(crate) fn administers(&self) -> bool {
        self.who.as_ref().is_some_and(Who::administers)
    }

    /// Says whether to show what only owners may do.
    pub(crate) fn owns(&self) -> bool {
        self.who.as_ref().is_some_and(Who::owns)
    }

    /// Says whether this page belongs to the console.
    pub(crate) fn is_console(&self) -> bool {
        is_below(&self.here, "/admin")
    }

    /// Says whether the page belongs to that place of the main menu.
    pub(crate) fn is_in(&self, place: &Link) -> bool {
        if place.href == "/" { self.here == "/" } else { is_below(&self.here, &place.href) }
    }

    /// Says whether the page belongs to that room of the console.
    pub(crate) fn is_at(&self, room: &Link) -> bool {
        if room.href == "/admin" { self.here == "/admin" } else { is_below(&self.here, &room.href) }
    }
}

fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A refusal with its sentence.
#[derive(Template)]
#[template(path = "refusal.html")]
pub(crate) struct RefusalPage {
    pub(crate) page: Page,
    pub(crate) heading: &'static str,
    pub(crate) sentence: String,
    pub(crate) way_on: Link,
}
