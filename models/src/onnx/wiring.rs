//! Whether each value is made once, and before it is needed.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use super::{
    Refused,
    graph::{Graph, Node},
};
use crate::text;

/// Nodes of a circle that are named.
const NAMED: usize = 6;

/// Refuses a graph in which a value is made twice, or read and made by nobody, or needs itself. Nodes may come in any order.
pub(super) fn check(graph: &Graph<'_>) -> Result<(), Refused> {
    let mut makers: HashMap<&str, usize> = HashMap::with_capacity(graph.nodes.len());
    let given: HashSet<&str> =
        (graph.inputs.iter().map(|input| input.name)).chain(graph.initializers.iter().map(|tensor| tensor.name)).collect();
    for (at, node) in graph.nodes.iter().enumerate() {
        for output in node.outputs.iter().filter(|output| !output.is_empty()) {
            match makers.entry(output) {
                Entry::Vacant(vacant) if !given.contains(output) => {
                    vacant.insert(at);
                }
                _ => return Err(Refused::MadeTwice { node: node.label(), op: node.kind(), value: shown(output) }),
            }
        }
    }
    let mut in_order = true;
    for (at, node) in graph.nodes.iter().enumerate() {
        for input in needed(node) {
            match makers.get(input) {
                Some(maker) => in_order &= *maker < at,
                None if given.contains(input) => {}
                None => return Err(Refused::MadeByNobody { node: node.label(), op: node.kind(), value: shown(input) }),
            }
        }
    }
    if in_order { Ok(()) } else { circle(graph, &makers) }
}

fn shown(name: &str) -> String {
    text::short(name, 200)
}

fn needed<'n>(node: &'n Node<'_>) -> impl Iterator<Item = &'n str> {
    node.inputs.iter().copied().filter(|input| !input.is_empty())
}

/// Takes out node after node that waits for none of the others; those that are left stand in circles or behind them.
fn circle(graph: &Graph<'_>, makers: &HashMap<&str, usize>) -> Result<(), Refused> {
    let before = |at: usize| needed(&graph.nodes[at]).filter_map(|input| makers.get(input).copied());
    let mut waiting: Vec<usize> = (0..graph.nodes.len()).map(|at| before(at).count()).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    (0..graph.nodes.len()).for_each(|at| before(at).for_each(|maker| after[maker].push(at)));
    let mut ready: Vec<usize> = (0..graph.nodes.len()).filter(|at| waiting[*at] == 0).collect();
    while let Some(at) = ready.pop() {
        for next in &after[at] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.push(*next);
            }
        }
    }
    let Some(mut at) = waiting.iter().position(|count| *count > 0) else { return Ok(()) };
    // Each of these waits for another one of them: going back from one to the next comes round.
    let (mut way, mut seen) = (Vec::new(), vec![false; graph.nodes.len()]);
    while !std::mem::replace(&mut seen[at], true) {
        way.push(at);
        let Some(maker) = before(at).find(|maker| waiting[*maker] > 0) else { break };
        at = maker;
    }
    let start = way.iter().position(|node| *node == at).unwrap_or(0);
    let labels: Vec<String> =
        way[start..].iter().rev().take(NAMED).map(|node| format!("`{}`", graph.nodes[*node].label())).collect();
    let more = if way.len() - start > NAMED { " → …" } else { "" };
    Err(Refused::Circle { node: graph.nodes[at].label(), op: graph.nodes[at].kind(), way: labels.join(" → ") + more })
}
