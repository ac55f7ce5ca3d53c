//! RudderStack's `context.consentManagement`: what the person allowed and what they denied.
//!
//! Both lists count. A category in neither was not allowed, so it is refused; one in
//! both is refused. RudderStack itself reads only one of them, and delivers where it
//! cannot read the object.

use privet_json::{Kind, Node};

use super::{Said, there};

/// More categories in one list than any person was asked about.
const CATEGORIES_MAX: usize = 1_024;

/// The object, as far as it is there.
#[derive(Clone, Copy, Debug)]
pub enum ConsentManagement<'a> {
    /// There is none.
    Absent,
    /// Something stands in its place that is no such object, or a list that is too long.
    Unreadable,
    /// Each list that is there.
    Written {
        /// The categories that are allowed.
        allowed: Option<Node<'a>>,
        /// The categories that are denied.
        denied: Option<Node<'a>>,
    },
}

impl<'a> ConsentManagement<'a> {
    /// Finds it in an event.
    #[must_use]
    pub fn of(event: Node<'a>) -> Self {
        let Some(context) = there(event, "context") else { return Self::Absent };
        match there(context, "consentManagement") {
            None => Self::Absent,
            Some(management) if management.kind() == Kind::Object => Self::in_object(management),
            Some(_) => Self::Unreadable,
        }
    }

    fn in_object(management: Node<'a>) -> Self {
        let [allowed, denied] = ["allowedConsentIds", "deniedConsentIds"].map(|name| there(management, name));
        let readable = [allowed, denied].iter().flatten().all(|list| is_list(*list));
        if readable { Self::Written { allowed, denied } } else { Self::Unreadable }
    }

    /// What it says of one category.
    #[must_use]
    pub fn category(&self, id: &str) -> Said {
        let names = |list: &Option<Node<'_>>| list.is_some_and(|list| list.elements().any(|member| member.is_text(id)));
        match self {
            Self::Absent => Said::Absent,
            Self::Unreadable => Said::Unreadable,
            Self::Written { allowed, denied } => Said::granted_if(names(allowed) && !names(denied)),
        }
    }
}

/// An array of texts, or an object of no members, which some providers write for none.
fn is_list(list: Node<'_>) -> bool {
    match list.kind() {
        Kind::Array => list.len() <= CATEGORIES_MAX && list.elements().all(|id| id.kind() == Kind::String),
        Kind::Object => list.is_empty(),
        _ => false,
    }
}
