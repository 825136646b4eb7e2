//! What depends on what: the order in which apps and pods start. An app names apps or groups; a group that depends on
//! something makes everything in it depend on all of that. What is named and does not exist is nothing to wait for.

use std::collections::BTreeMap;
use std::fmt;

use crate::group::PathId;
use crate::id::AppId;

/// The tree as it shall be.
pub(crate) trait Tree {
    /// What an app or pod names; `None` when there is none of that path.
    fn spec(&self, id: &AppId) -> Option<&[PathId]>;
    /// What a group names.
    fn group(&self, id: &PathId) -> &[PathId];
    /// Every app and pod somewhere below a group.
    fn below(&self, group: &PathId) -> Vec<AppId>;
}

/// Apps that wait for each other in a ring: each depends on the next, the last on the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Cycle(pub Vec<AppId>);

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dependency graph has cyclic dependencies: ")?;
        for app in &self.0 {
            write!(f, "{app} -> ")?;
        }
        self.0.first().map_or(Ok(()), |first| first.fmt(f))
    }
}

/// A group of n that depends on a group of m is n + m edges through two nodes of its own, not n · m.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    /// An app or pod.
    Spec(AppId),
    /// What the members of a group wait for.
    Needs(PathId),
    /// The members of a group.
    All(PathId),
}

/// How far into the search a node is.
enum Mark {
    /// What it depends on is being looked at.
    Open,
    /// So many apps must start before it, one after the other.
    Depth(usize),
}

/// One node on the way down.
struct Frame {
    node: Node,
    left: Vec<Node>,
    depth: usize,
}

/// In which layer each of `wanted` starts, from 0 for what waits for nothing. Only what they reach is looked at.
///
/// # Errors
/// When one of them waits, in the end, for itself.
pub(crate) fn layers<'a>(
    tree: &impl Tree,
    wanted: impl IntoIterator<Item = &'a AppId>,
) -> Result<BTreeMap<AppId, usize>, Cycle> {
    let mut marks: BTreeMap<Node, Mark> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for app in wanted {
        let node = Node::Spec(app.clone());
        visit(tree, node.clone(), &mut marks)?;
        if let Some(Mark::Depth(depth)) = marks.get(&node) {
            found.insert(app.clone(), *depth);
        }
    }
    Ok(found)
}

/// Looks at everything that `root` reaches. The way down is a list, not the stack: chains may be long.
fn visit(tree: &impl Tree, root: Node, marks: &mut BTreeMap<Node, Mark>) -> Result<(), Cycle> {
    if marks.contains_key(&root) {
        return Ok(());
    }
    let mut way = vec![open(tree, root, marks)];
    while let Some(frame) = way.last_mut() {
        let Some(next) = frame.left.pop() else {
            let depth = frame.depth;
            let counted = depth + usize::from(matches!(frame.node, Node::Spec(_)));
            if let Some(frame) = way.pop() {
                marks.insert(frame.node, Mark::Depth(depth));
            }
            if let Some(above) = way.last_mut() {
                above.depth = above.depth.max(counted);
            }
            continue;
        };
        match marks.get(&next) {
            Some(Mark::Depth(depth)) => {
                let counted = depth + usize::from(matches!(next, Node::Spec(_)));
                frame.depth = frame.depth.max(counted);
            }
            Some(Mark::Open) => return Err(cycle(&way, &next)),
            None => {
                let frame = open(tree, next, marks);
                way.push(frame);
            }
        }
    }
    Ok(())
}

fn open(tree: &impl Tree, node: Node, marks: &mut BTreeMap<Node, Mark>) -> Frame {
    marks.insert(node.clone(), Mark::Open);
    Frame { left: edges(tree, &node), node, depth: 0 }
}

fn cycle(way: &[Frame], again: &Node) -> Cycle {
    let ring = way.iter().skip_while(|frame| frame.node != *again);
    let specs = ring.filter_map(|frame| match &frame.node {
        Node::Spec(app) => Some(app.clone()),
        Node::Needs(_) | Node::All(_) => None,
    });
    Cycle(specs.collect())
}

fn edges(tree: &impl Tree, node: &Node) -> Vec<Node> {
    let named = |path: &PathId| match path.app().filter(|app| tree.spec(app).is_some()) {
        Some(app) => Node::Spec(app),
        None => Node::All(path.clone()),
    };
    match node {
        Node::Spec(app) => {
            let own = tree.spec(app).unwrap_or_default().iter().map(named);
            own.chain([Node::Needs(PathId::group_of(app))]).collect()
        }
        Node::Needs(group) => {
            let own = tree.group(group).iter().map(named);
            own.chain(group.parent().map(Node::Needs)).collect()
        }
        Node::All(group) => tree.below(group).into_iter().map(Node::Spec).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A tree that is small.
    #[derive(Debug, Default)]
    struct Sketch {
        specs: BTreeMap<AppId, Vec<PathId>>,
        groups: BTreeMap<PathId, Vec<PathId>>,
    }

    impl Tree for Sketch {
        fn spec(&self, id: &AppId) -> Option<&[PathId]> {
            self.specs.get(id).map(Vec::as_slice)
        }

        fn group(&self, id: &PathId) -> &[PathId] {
            self.groups.get(id).map_or(&[], Vec::as_slice)
        }

        fn below(&self, group: &PathId) -> Vec<AppId> {
            self.specs.keys().filter(|app| group.holds(app)).cloned().collect()
        }
    }

    fn members(cycle: &Cycle) -> BTreeSet<&AppId> {
        cycle.0.iter().collect()
    }

    fn app(id: &str) -> AppId {
        id.parse().unwrap()
    }

    fn sketch(specs: &[(&str, &[&str])], groups: &[(&str, &[&str])]) -> Sketch {
        let paths = |paths: &[&str]| paths.iter().map(|path| path.parse().unwrap()).collect();
        Sketch {
            specs: specs.iter().map(|(id, needs)| (app(id), paths(needs))).collect(),
            groups: groups.iter().map(|(id, needs)| (id.parse().unwrap(), paths(needs))).collect(),
        }
    }

    fn layers_of(sketch: &Sketch) -> Result<Vec<(String, usize)>, Cycle> {
        let found = layers(sketch, sketch.specs.keys())?;
        Ok(found.into_iter().map(|(app, layer)| (app.to_string(), layer)).collect())
    }

    fn expected(layers: &[(&str, usize)]) -> Result<Vec<(String, usize)>, Cycle> {
        Ok(layers.iter().map(|(app, layer)| ((*app).to_owned(), *layer)).collect())
    }

    #[test]
    fn an_app_starts_after_all_it_names() {
        let tree = sketch(
            &[("/web", &["/db", "/cache"]), ("/db", &["/disk"]), ("/cache", &[]), ("/disk", &[])],
            &[],
        );
        assert_eq!(layers_of(&tree), expected(&[("/cache", 0), ("/db", 1), ("/disk", 0), ("/web", 2)]));
    }

    #[test]
    fn a_group_waits_as_a_whole_for_a_whole_group() {
        let tree = sketch(
            &[("/p/svc/a", &[]), ("/p/svc/deep/b", &[]), ("/p/db/x", &[]), ("/p/db/y", &["/p/db/x"])],
            &[("/p/svc", &["/p/db"])],
        );
        let wanted = [("/p/db/x", 0), ("/p/db/y", 1), ("/p/svc/a", 2), ("/p/svc/deep/b", 2)];
        assert_eq!(layers_of(&tree), expected(&wanted));
    }

    #[test]
    fn what_does_not_exist_is_not_waited_for() {
        let tree = sketch(&[("/web", &["/nothing", "/no/group"])], &[("/empty", &["/web"])]);
        assert_eq!(layers_of(&tree), expected(&[("/web", 0)]));
    }

    #[test]
    fn a_ring_is_told_by_its_members() {
        let ring = sketch(&[("/a", &["/b"]), ("/b", &["/c"]), ("/c", &["/a"]), ("/d", &["/a"])], &[]);
        let cycle = layers_of(&ring).unwrap_err();
        assert_eq!(members(&cycle), [app("/a"), app("/b"), app("/c")].iter().collect());
        assert_eq!(cycle.to_string(), "Dependency graph has cyclic dependencies: /a -> /b -> /c -> /a");
        let own = sketch(&[("/a", &["/a"])], &[]);
        assert_eq!(layers_of(&own), Err(Cycle(vec![app("/a")])));
    }

    #[test]
    fn a_ring_through_groups_is_found() {
        let tree = sketch(&[("/x/a", &[]), ("/y/b", &["/x/a"])], &[("/x", &["/y"])]);
        assert_eq!(members(&layers_of(&tree).unwrap_err()), [app("/x/a"), app("/y/b")].iter().collect());
        let inside = sketch(&[("/x/a", &[]), ("/x/in/b", &[])], &[("/x", &["/x/in"])]);
        assert_eq!(layers_of(&inside), Err(Cycle(vec![app("/x/in/b")])));
    }

    #[test]
    fn long_chains_and_wide_groups_are_no_burden() {
        let chain: Vec<(String, Vec<String>)> = (0..50_000)
            .map(|n: usize| (format!("/c/{n}"), vec![format!("/c/{}", n + 1)]))
            .chain((0..10_000).map(|n| (format!("/w/{n}"), vec![])))
            .collect();
        let specs: Vec<(AppId, Vec<PathId>)> = chain
            .into_iter()
            .map(|(id, needs)| (app(&id), needs.iter().map(|need| need.parse().unwrap()).collect()))
            .collect();
        let groups = [("/w", vec!["/c"])].map(|(id, needs)| {
            (id.parse().unwrap(), needs.iter().map(|need| need.parse().unwrap()).collect())
        });
        let tree = Sketch { specs: specs.into_iter().collect(), groups: groups.into_iter().collect() };
        let found = layers(&tree, tree.specs.keys()).unwrap();
        assert_eq!((found[&app("/c/0")], found[&app("/w/0")]), (49_999, 50_000));
    }

    proptest! {
        /// Against the meaning itself: each app is above all it reaches, and one that reaches itself is refused.
        #[test]
        fn layers_keep_the_order(edges in prop::collection::vec((0_usize..8, 0_usize..8), 0..20)) {
            let mut specs: BTreeMap<AppId, Vec<PathId>> = (0..8).map(|n| (app(&format!("/n{n}")), vec![])).collect();
            for (from, to) in &edges {
                specs.get_mut(&app(&format!("/n{from}"))).unwrap().push(format!("/n{to}").parse().unwrap());
            }
            let mut reach = [[false; 8]; 8];
            for (from, to) in &edges {
                reach[*from][*to] = true;
            }
            for via in 0..8 {
                for from in 0..8 {
                    for to in 0..8 {
                        reach[from][to] |= reach[from][via] && reach[via][to];
                    }
                }
            }
            let tree = Sketch { specs, groups: BTreeMap::new() };
            match layers(&tree, tree.specs.keys()) {
                Err(cycle) => {
                    let number = |app: &AppId| app.as_str()[2..].parse::<usize>().unwrap();
                    prop_assert!(cycle.0.iter().all(|app| reach[number(app)][number(app)]));
                }
                Ok(found) => {
                    prop_assert!((0..8).all(|n| !reach[n][n]));
                    for (from, to) in edges {
                        let layer = |n: usize| found[&app(&format!("/n{n}"))];
                        prop_assert!(layer(from) > layer(to));
                    }
                }
            }
        }
    }
}
