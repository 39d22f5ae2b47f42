//! Sets of paths, as a tree with sorted branches.

use std::cmp::Ordering;

use super::PathElement;
use crate::schema::Schema;

/// A set of paths. A path in it says nothing about the paths above and below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Sorted by element; none is empty.
    branches: Vec<Branch>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Branch {
    element: PathElement,
    /// The path that ends here is in the set.
    here: bool,
    /// What is in the set further on.
    below: FieldSet,
}

impl Branch {
    const fn is_empty(&self) -> bool {
        !self.here && self.below.branches.is_empty()
    }
}

/// Two sorted lists side by side.
enum Pair<'a> {
    Left(&'a Branch),
    Right(&'a Branch),
    Both(&'a Branch, &'a Branch),
}

fn zip<'a>(left: &'a FieldSet, right: &'a FieldSet) -> impl Iterator<Item = Pair<'a>> {
    let (mut lefts, mut rights) = (left.branches.iter().peekable(), right.branches.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (lefts.peek(), rights.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.element.cmp(&right.element),
        };
        match order {
            Ordering::Less => lefts.next().map(Pair::Left),
            Ordering::Greater => rights.next().map(Pair::Right),
            Ordering::Equal => lefts.next().zip(rights.next()).map(|(left, right)| Pair::Both(left, right)),
        }
    })
}

impl FieldSet {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { branches: Vec::new() }
    }

    /// A set of paths of fields.
    #[must_use]
    pub fn of(paths: &[&[&str]]) -> Self {
        let mut set = Self::new();
        for path in paths {
            set.insert(path.iter().map(|name| PathElement::field(name)));
        }
        set
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// Adds a path.
    pub fn insert(&mut self, path: impl IntoIterator<Item = PathElement>) {
        let mut path = path.into_iter();
        let Some(first) = path.next() else { return };
        let mut branch = self.branch(first);
        for element in path {
            branch = branch.below.branch(element);
        }
        branch.here = true;
    }

    /// Adds what is below an element, and the element itself when `here`.
    pub fn graft(&mut self, element: PathElement, here: bool, below: Self) {
        if !here && below.is_empty() {
            return;
        }
        let branch = self.branch(element);
        branch.here |= here;
        branch.below = if branch.below.is_empty() { below } else { branch.below.union(&below) };
    }

    fn branch(&mut self, element: PathElement) -> &mut Branch {
        // Whoever builds a set usually does it in order.
        let at = match self.branches.last() {
            Some(last) if last.element >= element => self.branches.binary_search_by(|one| one.element.cmp(&element)),
            _ => Err(self.branches.len()),
        };
        let at = at.unwrap_or_else(|at| {
            self.branches.insert(at, Branch { element, here: false, below: Self::new() });
            at
        });
        &mut self.branches[at]
    }

    fn find(&self, element: &PathElement) -> Option<&Branch> {
        let at = self.branches.binary_search_by(|one| one.element.cmp(element)).ok()?;
        self.branches.get(at)
    }

    /// Whether the path of this one element is in the set.
    #[must_use]
    pub fn has(&self, element: &PathElement) -> bool {
        self.find(element).is_some_and(|branch| branch.here)
    }

    /// What is in the set below an element.
    #[must_use]
    pub fn below(&self, element: &PathElement) -> Option<&Self> {
        self.find(element).map(|branch| &branch.below).filter(|below| !below.is_empty())
    }

    /// Whether a path is in the set.
    #[must_use]
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.find(first).is_some_and(|branch| branch.below.contains(rest)),
        }
    }

    fn collect(branches: impl Iterator<Item = Branch>) -> Self {
        Self { branches: branches.filter(|branch| !branch.is_empty()).collect() }
    }

    /// What is in one or the other.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::collect(zip(self, other).map(|pair| match pair {
            Pair::Left(one) | Pair::Right(one) => one.clone(),
            Pair::Both(one, other) => Branch {
                element: one.element.clone(),
                here: one.here || other.here,
                below: one.below.union(&other.below),
            },
        }))
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self::collect(zip(self, other).filter_map(|pair| match pair {
            Pair::Left(_) | Pair::Right(_) => None,
            Pair::Both(one, other) => Some(Branch {
                element: one.element.clone(),
                here: one.here && other.here,
                below: one.below.intersection(&other.below),
            }),
        }))
    }

    /// What is in this one only.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self::collect(zip(self, other).filter_map(|pair| match pair {
            Pair::Left(one) => Some(one.clone()),
            Pair::Right(_) => None,
            Pair::Both(one, other) => Some(Branch {
                element: one.element.clone(),
                here: one.here && !other.here,
                below: one.below.difference(&other.below),
            }),
        }))
    }

    /// What is neither in the other nor below a path of it.
    #[must_use]
    pub fn outside(&self, other: &Self) -> Self {
        Self::collect(zip(self, other).filter_map(|pair| match pair {
            Pair::Left(one) => Some(one.clone()),
            Pair::Both(one, other) if !other.here => {
                Some(Branch { element: one.element.clone(), here: one.here, below: one.below.outside(&other.below) })
            }
            Pair::Right(_) | Pair::Both(..) => None,
        }))
    }

    /// Whether all of it is in the other.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        zip(self, other).all(|pair| match pair {
            Pair::Left(_) => false,
            Pair::Right(_) => true,
            Pair::Both(one, other) => (!one.here || other.here) && one.below.is_subset(&other.below),
        })
    }

    /// With the fields of structs that lead to a path: a struct is there whenever one of its fields is.
    #[must_use]
    pub fn with_structs(&self, schema: &Schema) -> Self {
        Self::collect(self.branches.iter().map(|branch| {
            let (is_named, schema) = match &branch.element {
                PathElement::Field(name) => (schema.has_field(name), schema.field(name)),
                _ => (false, schema.item()),
            };
            let here = branch.here || (is_named && !branch.below.is_empty());
            Branch { element: branch.element.clone(), here, below: branch.below.with_structs(schema) }
        }))
    }

    /// Every path, printed as conflicts name it. Those that end are told before those that lead on.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk("", &mut |path| paths.push(path));
        paths
    }

    fn walk(&self, above: &str, tell: &mut impl FnMut(String)) {
        for branch in self.branches.iter().filter(|branch| branch.here) {
            tell(format!("{above}{}", branch.element));
        }
        for branch in self.branches.iter().filter(|branch| !branch.below.is_empty()) {
            branch.below.walk(&format!("{above}{}", branch.element), tell);
        }
    }

    /// The first elements of its paths, whether a path ends there, and what is below.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PathElement, bool, &Self)> {
        self.branches.iter().map(|branch| (&branch.element, branch.here, &branch.below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;
    use crate::schema;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_path_says_nothing_about_those_above_and_below() {
        let set = FieldSet::of(&[&["a", "b"], &["a", "c", "d"]]);
        assert_eq!(set.paths(), [".a.b", ".a.c.d"]);
        assert!(!set.has(&PathElement::field("a")));
        let spec = FieldSet::of(&[&["a"]]);
        assert_eq!(set.difference(&spec), set);
        assert!(set.outside(&spec).is_empty());
        assert_eq!(spec.outside(&set), spec);
    }

    #[test]
    fn structs_are_there_when_a_field_is() {
        let mut set = FieldSet::of(&[&["spec", "template", "metadata", "labels", "x"]]);
        let container = PathElement::key(vec![("name".into(), json!("c"))]);
        let path = ["spec", "template", "spec", "containers"].map(PathElement::field);
        set.insert(path.into_iter().chain([container, PathElement::field("image")]));
        let with = set.with_structs(schema::of(&kinds::DEPLOYMENT));
        let expected = [
            ".spec",
            ".spec.template",
            ".spec.template.metadata",
            ".spec.template.spec",
            ".spec.template.metadata.labels",
            ".spec.template.metadata.labels.x",
            ".spec.template.spec.containers",
            ".spec.template.spec.containers[name=\"c\"].image",
        ];
        assert_eq!(with.paths(), expected);
    }

    fn sets() -> impl Strategy<Value = FieldSet> {
        let element = prop_oneof![
            "[a-d]".prop_map(|name| PathElement::field(&name)),
            (0_u8..3).prop_map(|port| PathElement::key(vec![("port".into(), json!(port))])),
            "[a-c]".prop_map(|value| PathElement::Value(std::sync::Arc::new(json!(value)))),
            (0_usize..3).prop_map(PathElement::Index),
        ];
        let paths = proptest::collection::vec(proptest::collection::vec(element, 1..4), 0..12);
        paths.prop_map(|paths| {
            let mut set = FieldSet::new();
            paths.into_iter().for_each(|path| set.insert(path));
            set
        })
    }

    proptest! {
        #[test]
        fn laws_of_sets((a, b, c) in (sets(), sets(), sets())) {
            prop_assert_eq!(a.union(&b), b.union(&a));
            prop_assert_eq!(a.union(&a), a.clone());
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            prop_assert_eq!(a.union(&b).difference(&b), a.difference(&b));
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
            prop_assert_eq!(a.difference(&b.union(&c)), a.difference(&b).difference(&c));
            prop_assert!(a.difference(&b).intersection(&b).is_empty());
            prop_assert!(a.is_subset(&a.union(&b)));
            prop_assert_eq!(a.is_subset(&b), a.difference(&b).is_empty());
            prop_assert!(a.outside(&b).is_subset(&a.difference(&b)));
        }

        #[test]
        fn what_is_printed_is_read_again(set in sets()) {
            prop_assert_eq!(FieldSet::parse(&set.to_json()).unwrap(), set);
        }
    }
}
