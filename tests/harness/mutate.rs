//! Meshes with something wrong in them: mutants of real text, by seed.

/// A generator that gives the same numbers for the same seed, everywhere.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Draws {
        Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number (SplitMix64).
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw() % (end.max(1) as u64)).unwrap_or(0)
    }

    /// One of some things.
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// What means something in YAML, or nearly does.
const TOKENS: &[&str] = &[
    ":",
    ": ",
    " :",
    " #",
    "#",
    "- ",
    "-",
    "-\n",
    "'",
    "\"",
    "''",
    "\\",
    "|",
    "|-\n",
    ">",
    ">\n",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ",",
    "&a ",
    "*a",
    "!t ",
    "!!str ",
    "---",
    "---\n",
    "--- ",
    "...\n",
    "\t",
    "\n",
    "\n\n",
    " ",
    "  ",
    "    ",
    "\r\n",
    "0",
    "1",
    "-1",
    "+1",
    "00",
    "0x1",
    "0o7",
    "1_0",
    "1e3",
    "1.5",
    ".5",
    "1.",
    ".inf",
    ".nan",
    "12:30",
    "true",
    "True",
    "false",
    "yes",
    "no",
    "on",
    "null",
    "Null",
    "~",
    "<<",
    "?",
    "? ",
    "%",
    "@",
    "`",
    "a",
    "a: b",
    "a:\n",
    "a: b\n",
    "- a\n",
    "=",
    "*",
    "é",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{0}",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
];

/// A text with a few things changed: bytes, tokens, lines, indentation, or a piece of another text.
#[must_use]
pub fn mutant(seeds: &[String], draws: &mut Draws) -> String {
    let mut text = draws.pick(seeds).clone();
    if draws.below(3) == 0 {
        // A few lines alone find more than a whole document.
        let lines: Vec<&str> = text.lines().collect();
        let start = draws.below(lines.len());
        let end = (start + 1 + draws.below(8)).min(lines.len());
        text = lines[start..end].join("\n") + "\n";
    }
    for _ in 0..=draws.below(4) {
        text = mutate(&text, seeds, draws);
    }
    text
}

/// A text with one thing changed.
///
/// # Panics
/// If there are no seeds.
#[must_use]
pub fn mutate(text: &str, seeds: &[String], draws: &mut Draws) -> String {
    let place = |draws: &mut Draws, text: &str| {
        let mut at = draws.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let at = place(draws, text);
    let (before, after) = text.split_at(at);
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let line = draws.below(lines.len());
    match draws.below(9) {
        0 | 1 => format!("{before}{}{after}", draws.pick(TOKENS)),
        2 => {
            let rest: String = after.chars().skip(1 + draws.below(3)).collect();
            format!("{before}{rest}")
        }
        3 => {
            let rest: String = after.chars().skip(1).collect();
            format!("{before}{}{rest}", draws.pick(TOKENS))
        }
        4 => {
            lines.remove(line);
            lines.join("\n")
        }
        5 => {
            let copy = lines[draws.below(lines.len())].clone();
            lines.insert(line, copy);
            lines.join("\n")
        }
        6 => {
            lines[line] = format!("{}{}", " ".repeat(1 + draws.below(3)), lines[line]);
            lines.join("\n")
        }
        7 => {
            let blanks = lines[line].len() - lines[line].trim_start_matches(' ').len();
            lines[line] = lines[line].split_off(blanks.min(1 + draws.below(2)));
            lines.join("\n")
        }
        _ => {
            let other = draws.pick(seeds);
            let pieces: Vec<&str> = other.split('\n').collect();
            let start = draws.below(pieces.len());
            lines.insert(line, pieces[start..(start + 1 + draws.below(3)).min(pieces.len())].join("\n"));
            lines.join("\n")
        }
    }
}
