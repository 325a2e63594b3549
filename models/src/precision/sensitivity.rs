//! Which layers lose most when they are quantized, and how few of them must stay in float until a gate holds.

/// A layer and what its quantization alone costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The layer.
    pub layer: String,
    /// The loss with only this layer quantized; larger is worse.
    pub loss: f64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Searched<V> {
    /// Whether the gate holds.
    pub holds: bool,
    /// Layers that stay in float: the worst ones; where the gate does not hold, as many as were allowed.
    pub float: Vec<String>,
    /// What the gate said with these in float.
    pub verdict: V,
    /// What it said with every layer quantized.
    pub all_quantized: V,
    /// All layers, worst first. Empty where the gate held at once.
    pub ranked: Vec<Ranked>,
}

/// The networks that a search tries and measures.
pub trait Search {
    /// What the gate says of a network.
    type Verdict: Clone;
    /// Why a network could not be measured.
    type Error;

    /// What quantizing `layer` alone costs.
    ///
    /// # Errors
    /// As its implementor has them.
    fn loss_of(&mut self, layer: &str) -> Result<f64, Self::Error>;

    /// Measures the network with all layers quantized but `float`; whether the gate holds.
    ///
    /// # Errors
    /// As its implementor has them.
    fn measure(&mut self, float: &[String]) -> Result<(bool, Self::Verdict), Self::Error>;
}

/// Ranks layers by what quantizing each of them alone costs, worst first.
///
/// # Errors
/// Those of [`Search::loss_of`].
pub fn rank<S: Search>(search: &mut S, layers: &[String]) -> Result<Vec<Ranked>, S::Error> {
    let mut ranked = Vec::with_capacity(layers.len());
    for layer in layers {
        ranked.push(Ranked { layer: layer.clone(), loss: search.loss_of(layer)? });
    }
    ranked.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    Ok(ranked)
}

impl<V: Clone> Searched<V> {
    /// Puts the worst layers back to float until the gate holds, at most `most` of them. The number is found by bisection, so the
    /// gate is asked about `log2(most) + 2` times; what is returned was measured itself.
    ///
    /// # Errors
    /// Those of the search.
    pub fn run<S: Search<Verdict = V>>(search: &mut S, layers: &[String], most: usize) -> Result<Self, S::Error> {
        let (holds, all_quantized) = search.measure(&[])?;
        if holds {
            let verdict = all_quantized.clone();
            return Ok(Self { holds, float: Vec::new(), verdict, all_quantized, ranked: Vec::new() });
        }
        let ranked = rank(search, layers)?;
        let worst = |count: usize| ranked.iter().take(count).map(|r| r.layer.clone()).collect::<Vec<_>>();
        // Invariant: `short` layers are too few, `enough` hold.
        let (mut short, mut enough) = (0, most.min(layers.len()));
        let (holds, mut verdict) = search.measure(&worst(enough))?;
        if holds {
            while enough - short > 1 {
                let middle = usize::midpoint(short, enough);
                match search.measure(&worst(middle))? {
                    (true, better) => (enough, verdict) = (middle, better),
                    (false, _) => short = middle,
                }
            }
        }
        Ok(Self { holds, float: worst(enough), verdict, all_quantized, ranked })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each layer costs something; the gate wants the sum of the quantized ones below a limit.
    struct Costs {
        of: Vec<u32>,
        limit: u32,
        measured: usize,
    }

    impl Search for Costs {
        type Verdict = u32;
        type Error = String;

        fn loss_of(&mut self, layer: &str) -> Result<f64, String> {
            let at: usize = layer.parse().map_err(|_| "no number".to_owned())?;
            Ok(f64::from(self.of[at]))
        }

        fn measure(&mut self, float: &[String]) -> Result<(bool, u32), String> {
            self.measured += 1;
            let float: Vec<usize> = float.iter().map(|f| f.parse().unwrap()).collect();
            let sum = self.of.iter().enumerate().filter(|(i, _)| !float.contains(i)).map(|(_, cost)| cost).sum();
            Ok((sum <= self.limit, sum))
        }
    }

    proptest! {
        #[test]
        fn the_fewest_layers_stay_in_float(costs in prop::collection::vec(0_u32..100, 1..60), limit in 0_u32..1500,
                                           share in 0_usize..101) {
            let layers: Vec<String> = (0..costs.len()).map(|i| i.to_string()).collect();
            let most = layers.len() * share / 100;
            let mut search = Costs { of: costs.clone(), limit, measured: 0 };
            let found = Searched::run(&mut search, &layers, most).unwrap();
            let mut sorted = costs.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let needed = (0..=sorted.len()).find(|n| sorted[*n..].iter().sum::<u32>() <= limit).unwrap();
            prop_assert_eq!(found.holds, needed <= most);
            prop_assert_eq!(found.float.len(), if found.holds { needed } else { most });
            prop_assert_eq!(found.all_quantized, costs.iter().sum::<u32>());
            prop_assert!(search.measured <= 9, "{}", search.measured);
        }
    }

    #[test]
    fn failures_are_handed_on() {
        let mut search = Costs { of: vec![5], limit: 1, measured: 0 };
        assert_eq!(Searched::run(&mut search, &["x".into()], 1).unwrap_err(), "no number");
    }
}
