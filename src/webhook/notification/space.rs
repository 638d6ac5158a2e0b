//! The space that a notification comes from.

/// The space that a notification comes from. Each part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// The UUID of the space.
    pub id: Option<String>,
    /// The name that its owner has chosen.
    pub name: Option<String>,
    /// The name in URLs.
    pub slug: Option<String>,
}

impl Space {
    /// Returns `true` if `wanted` is its id, slug or name.
    pub fn is(&self, wanted: &str) -> bool {
        [&self.id, &self.slug, &self.name]
            .into_iter()
            .any(|own| own.as_deref() == Some(wanted))
    }

    /// Returns the name for display: the slug, or else the name or the id.
    pub fn label(&self) -> Option<&str> {
        [&self.slug, &self.name, &self.id]
            .into_iter()
            .find_map(|own| own.as_deref())
    }
}
