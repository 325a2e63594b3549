//! Which output is which: by shape, and by name where shapes leave a choice.

use std::fmt::Write;

/// A dimension of an output beyond the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Dim {
    Is(usize),
    /// Any size, the same wherever this letter stands.
    Open(char),
}

/// One output that a head reads.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) dims: Vec<Dim>,
}

/// All outputs of one way to export a network.
pub(super) type Form = Vec<Role>;

pub(super) fn role(name: &'static str, dims: impl Into<Vec<Dim>>) -> Role {
    Role { name, dims: dims.into() }
}

/// An output as a graph declares it or as a runtime gives it: `None` is an open dimension.
#[derive(Clone, Debug)]
pub(super) struct Declared<'a> {
    pub(super) name: &'a str,
    pub(super) dims: Vec<Option<usize>>,
}

/// Which form, and for each of its roles the position of its output.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    pub(super) form: usize,
    pub(super) order: Vec<usize>,
}

/// Steps of the search: bounds the work when dimensions are open.
const MAX_STEPS: usize = 20_000;

/// The first form that the outputs fit. Among several arrangements the one whose names speak for it most; else the order given.
pub(super) fn fit(forms: &[Form], outputs: &[Declared<'_>]) -> Option<Fit> {
    forms.iter().enumerate().find_map(|(form, roles)| {
        if roles.len() != outputs.len() {
            return None;
        }
        let mut search = Search { roles, outputs, order: Vec::new(), sizes: Vec::new(), best: None, left: MAX_STEPS };
        search.place();
        search.best.map(|(_, order)| Fit { form, order })
    })
}

struct Search<'a> {
    roles: &'a [Role],
    outputs: &'a [Declared<'a>],
    order: Vec<usize>,
    /// Sizes of the letters so far.
    sizes: Vec<(char, usize)>,
    best: Option<(usize, Vec<usize>)>,
    left: usize,
}

impl Search<'_> {
    /// Outputs are tried in their order, so the first arrangement found is the nearest to it.
    fn place(&mut self) {
        self.left = self.left.saturating_sub(1);
        let Some(role) = self.roles.get(self.order.len()) else {
            let spoken = |(role, output): (&Role, &usize)| usize::from(speaks_for(self.outputs[*output].name, role.name));
            let names = self.roles.iter().zip(&self.order).map(spoken).sum();
            if self.best.as_ref().is_none_or(|(best, _)| names > *best) {
                self.best = Some((names, self.order.clone()));
            }
            return;
        };
        for output in 0..self.outputs.len() {
            if self.left == 0 {
                return;
            }
            let before = self.sizes.len();
            if !self.order.contains(&output) && self.agrees(role, output) {
                self.order.push(output);
                self.place();
                self.order.pop();
            }
            self.sizes.truncate(before);
        }
    }

    fn agrees(&mut self, role: &Role, output: usize) -> bool {
        let dims = &self.outputs[output].dims;
        dims.len() == role.dims.len() + 1
            && role.dims.iter().zip(&dims[1..]).all(|(wanted, found)| match (wanted, found) {
                (_, None) => true,
                (Dim::Is(wanted), Some(found)) => wanted == found,
                (Dim::Open(letter), Some(found)) => {
                    let known = self.sizes.iter().find(|(known, _)| known == letter).map(|(_, size)| *size);
                    if known.is_none() {
                        self.sizes.push((*letter, *found));
                    }
                    known.is_none_or(|size| size == *found)
                }
            })
    }
}

/// Whether an output's name says that it is this.
fn speaks_for(output: &str, role: &str) -> bool {
    let words: &[&str] = match role {
        "boxes" | "edges" => &["box", "loc", "det", "coord"],
        "logits" | "labels" | "classes" => &["class", "cls", "label", "logit"],
        "scores" => &["score", "conf"],
        "coverage" => &["cov"],
        "count" => &["num", "count"],
        _ => &[],
    };
    // `num_dets` and `num_detections` are counts, not boxes.
    let output = output.to_ascii_lowercase();
    let counts = output.contains("num") && role != "count";
    !counts && words.iter().any(|word| output.contains(word))
}

/// Outputs for people: "`boxes` [?,8732,4], `scores` [?,8732,81]".
pub(super) fn describe(outputs: &[Declared<'_>]) -> String {
    let mut text = String::new();
    for output in outputs.iter().take(20) {
        let dims = output.dims.iter().take(8).map(|dim| dim.map_or_else(|| "?".into(), |size| size.to_string()));
        let name: String = crate::text::short(output.name, 100);
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}`{name}` [{}]", dims.collect::<Vec<_>>().join(","));
    }
    if text.is_empty() { "none".into() } else { text }
}

/// Forms for people: "boxes [N,8732,4] and scores [N,8732,81], or …".
pub(super) fn expected(forms: &[Form]) -> String {
    let dim = |dim: &Dim| match dim {
        Dim::Is(size) => format!(",{size}"),
        Dim::Open(letter) => format!(",{letter}"),
    };
    let role = |role: &Role| format!("{} [N{}]", role.name, role.dims.iter().map(dim).collect::<String>());
    let form = |form: &Form| form.iter().map(role).collect::<Vec<_>>().join(" and ");
    forms.iter().map(form).collect::<Vec<_>>().join(", or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms() -> Vec<Form> {
        vec![
            vec![role("logits", [Dim::Open('Q'), Dim::Is(4)]), role("boxes", [Dim::Open('Q'), Dim::Is(4)])],
            vec![role("boxes", [Dim::Is(4), Dim::Open('A')]), role("scores", [Dim::Is(7), Dim::Open('A')])],
        ]
    }

    fn fitted(outputs: &[(&str, &[Option<usize>])]) -> Option<(usize, Vec<usize>)> {
        let outputs: Vec<_> = outputs.iter().map(|(name, dims)| Declared { name, dims: dims.to_vec() }).collect();
        fit(&forms(), &outputs).map(|fit| (fit.form, fit.order))
    }

    const Q4: &[Option<usize>] = &[None, Some(300), Some(4)];

    #[test]
    fn shapes_decide_then_names_then_the_order() {
        let (boxes, scores) = ([Some(1), Some(4), Some(90)], [Some(1), Some(7), Some(90)]);
        assert_eq!(fitted(&[("a", &scores), ("b", &boxes)]), Some((1, vec![1, 0])));
        assert_eq!(fitted(&[("dets", Q4), ("labels", Q4)]), Some((0, vec![1, 0])));
        assert_eq!(fitted(&[("x", Q4), ("y", Q4)]), Some((0, vec![0, 1])));
        assert_eq!(fitted(&[("boxes", &[None, None, None]), ("scores", &[None, Some(7), Some(90)])]), Some((1, vec![0, 1])));
    }

    #[test]
    fn letters_agree_and_ranks_count() {
        assert_eq!(fitted(&[("x", Q4), ("y", &[None, Some(299), Some(4)])]), None);
        assert_eq!(fitted(&[("x", Q4)]), None);
        assert_eq!(fitted(&[("x", Q4), ("y", &[Some(300), Some(4)])]), None);
        assert_eq!(fitted(&[("x", &[None, Some(0), Some(4)]), ("y", &[None, Some(0), Some(4)])]), Some((0, vec![0, 1])));
    }

    #[test]
    fn open_dimensions_do_not_explode() {
        let roles: Form = (0..16).map(|_| role("scores", [Dim::Open('A')])).collect();
        let outputs: Vec<_> = (0..16).map(|_| Declared { name: "scores", dims: vec![None, None] }).collect();
        assert_eq!(fit(&[roles], &outputs).map(|fit| fit.order), Some((0..16).collect()));
    }

    #[test]
    fn people_can_read_it() {
        assert_eq!(expected(&forms()), "logits [N,Q,4] and boxes [N,Q,4], or boxes [N,4,A] and scores [N,7,A]");
        assert_eq!(describe(&[Declared { name: "x", dims: vec![None, Some(3)] }]), "`x` [?,3]");
        assert_eq!(describe(&[]), "none");
    }
}
