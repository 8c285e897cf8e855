//! Which requests are logged: conditions in CEL, as far as Taut evaluates them.
//!
//! Owns: the grammar. A condition becomes tests in postfix order, so that nobody downstream has to know how it was written.
//! May not: guess; what is not one of the attributes or operators here is a problem that names it.

use taut_source::Text;

/// A step of a condition; `And` and `Or` take the two before them, `Not` the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterStep {
    /// A test of one attribute.
    Test(FilterAttribute, FilterTest),
    /// It does not hold.
    Not,
    /// Both hold.
    And,
    /// One holds.
    Or,
}

/// How an attribute is tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterTest {
    /// It is this text.
    Is(Text),
    /// It begins with this.
    Begins(Text),
    /// It ends with this.
    Ends(Text),
    /// This is somewhere in it.
    Contains(Text),
    /// It is this number.
    Equals(u64),
    /// It is less.
    Below(u64),
    /// It is true.
    True,
    /// There is one.
    Present,
}

macro_rules! attributes {
    ($( $Attribute:ident $kind:ident = $word:literal; )*) => {
        /// What can be asked of a request.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is named as in CEL")]
        pub enum FilterAttribute {
            $( $Attribute, )*
            /// `request.headers['name']`, in lower case.
            Header(Text),
        }

        fn attribute(word: &str) -> Option<(FilterAttribute, Kind)> {
            match word {
                $( $word => Some((FilterAttribute::$Attribute, Kind::$kind)), )*
                _ => None,
            }
        }
    };
}

attributes! {
    ResponseCode Number = "response.code";
    ResponseCodeDetails Text = "response.code_details";
    ResponseSize Number = "response.size";
    RequestSize Number = "request.size";
    RequestPath Text = "request.path";
    RequestUrlPath Text = "request.url_path";
    RequestHost Text = "request.host";
    RequestMethod Text = "request.method";
    RequestProtocol Text = "request.protocol";
    RequestUserAgent Text = "request.useragent";
    RequestId Text = "request.id";
    ConnectionMtls Truth = "connection.mtls";
    ServerName Text = "connection.requested_server_name";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Truth,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(u64),
    Sign(&'static str),
}

const SIGNS: &[&str] = &["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", "."];

/// How deep brackets may be.
const DEPTH_MAX: usize = 32;

/// The steps of a condition.
///
/// # Errors
/// With what cannot be evaluated.
pub fn parse_log_filter(text: &str) -> Result<Vec<FilterStep>, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, steps: Vec::new(), depth: 0 };
    parser.either()?;
    match parser.tokens.get(parser.at) {
        None => Ok(parser.steps),
        Some(token) => Err(format!("{} is one too many", shown(Some(token)))),
    }
}

/// The attribute that an expression is, if it is a text that is known as soon as a request comes.
pub(crate) fn parse_request_text(text: &str) -> Option<FilterAttribute> {
    let mut parser = Parser { tokens: tokens(text).ok()?, at: 0, steps: Vec::new(), depth: 0 };
    match parser.operand().ok()? {
        // Each request has an id of its own: no two would be counted together.
        Operand::Attribute(FilterAttribute::ResponseCodeDetails | FilterAttribute::RequestId, _) => None,
        Operand::Attribute(attribute, Kind::Text) if parser.at == parser.tokens.len() => Some(attribute),
        _ => None,
    }
}

fn shown(token: Option<&Token>) -> String {
    match token {
        None => "the end".to_owned(),
        Some(Token::Word(word)) => format!("`{word}`"),
        Some(Token::Text(text)) => format!("the text `{text}`"),
        Some(Token::Number(number)) => format!("the number {number}"),
        Some(Token::Sign(sign)) => format!("`{sign}`"),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let (mut all, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let after;
        if first == '\'' || first == '"' {
            let (within, behind) = rest[1..].split_once(first).ok_or("a text has no end")?;
            if within.contains('\\') {
                return Err("escapes in texts are not read".to_owned());
            }
            all.push(Token::Text(within.to_owned()));
            after = behind;
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            let token = match word.parse() {
                Ok(number) => Token::Number(number),
                Err(_) if first.is_ascii_digit() => return Err(format!("`{word}` is no number that is read")),
                Err(_) => Token::Word(word.to_owned()),
            };
            all.push(token);
            after = &rest[end..];
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("`{first}` is not read"))?;
            all.push(Token::Sign(sign));
            after = &rest[sign.len()..];
        }
        rest = after.trim_start();
    }
    Ok(all)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    steps: Vec<FilterStep>,
    depth: usize,
}

/// A value that a comparison has on one side.
enum Operand {
    Attribute(FilterAttribute, Kind),
    Text(String),
    Number(u64),
    Truth(bool),
}

impl Parser {
    fn takes(&mut self, sign: &str) -> bool {
        let there = matches!(self.tokens.get(self.at), Some(Token::Sign(it)) if *it == sign);
        self.at += usize::from(there);
        there
    }

    fn needs(&mut self, sign: &str) -> Result<(), String> {
        let found = self.tokens.get(self.at).cloned();
        if self.takes(sign) { Ok(()) } else { Err(format!("`{sign}` is missing before {}", shown(found.as_ref()))) }
    }

    fn either(&mut self) -> Result<(), String> {
        self.both()?;
        while self.takes("||") {
            self.both()?;
            self.steps.push(FilterStep::Or);
        }
        Ok(())
    }

    fn both(&mut self) -> Result<(), String> {
        self.one()?;
        while self.takes("&&") {
            self.one()?;
            self.steps.push(FilterStep::And);
        }
        Ok(())
    }

    fn one(&mut self) -> Result<(), String> {
        self.depth += 1;
        if DEPTH_MAX < self.depth {
            return Err("it is nested too deep".to_owned());
        }
        if self.takes("!") {
            self.one()?;
            self.steps.push(FilterStep::Not);
        } else if self.takes("(") {
            self.either()?;
            self.needs(")")?;
        } else {
            self.comparison()?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn comparison(&mut self) -> Result<(), String> {
        if matches!(self.tokens.get(self.at), Some(Token::Word(word)) if word == "has") {
            self.at += 1;
            self.needs("(")?;
            let Operand::Attribute(attribute, _) = self.operand()? else {
                return Err("`has` asks for an attribute".to_owned());
            };
            self.steps.push(FilterStep::Test(attribute, FilterTest::Present));
            return self.needs(")");
        }
        let left = self.operand()?;
        if self.takes(".") {
            return self.method(left);
        }
        if matches!(self.tokens.get(self.at), Some(Token::Word(word)) if word == "in") {
            self.at += 1;
            return self.among(&left);
        }
        let Some(sign) = ["==", "!=", "<=", ">=", "<", ">"].into_iter().find(|sign| self.takes(sign)) else {
            return match left {
                Operand::Attribute(attribute, Kind::Truth) => {
                    self.steps.push(FilterStep::Test(attribute, FilterTest::True));
                    Ok(())
                }
                _ => Err(format!("a comparison is missing before {}", shown(self.tokens.get(self.at)))),
            };
        };
        let right = self.operand()?;
        let (attribute, sign, value) = match (left, right) {
            (Operand::Attribute(attribute, kind), value) => ((attribute, kind), sign, value),
            (value, Operand::Attribute(attribute, kind)) => ((attribute, kind), turned(sign), value),
            _ => return Err("one side of a comparison must be an attribute".to_owned()),
        };
        self.compare(attribute, sign, &value)
    }

    fn compare(&mut self, attribute: (FilterAttribute, Kind), sign: &str, value: &Operand) -> Result<(), String> {
        let (attribute, kind) = attribute;
        let (test, negated) = match (kind, value, sign) {
            (Kind::Text, Operand::Text(text), "==" | "!=") => (FilterTest::Is(Text::new(text)), sign == "!="),
            (Kind::Truth, Operand::Truth(truth), "==" | "!=") => (FilterTest::True, *truth == (sign == "!=")),
            (Kind::Number, Operand::Number(number), "==" | "!=") => (FilterTest::Equals(*number), sign == "!="),
            (Kind::Number, Operand::Number(number), "<" | ">=") => (FilterTest::Below(*number), sign == ">="),
            (Kind::Number, Operand::Number(number), _) => (FilterTest::Below(number.saturating_add(1)), sign == ">"),
            _ => return Err(format!("`{sign}` cannot compare these two")),
        };
        self.steps.push(FilterStep::Test(attribute, test));
        self.steps.extend(negated.then_some(FilterStep::Not));
        Ok(())
    }

    fn method(&mut self, left: Operand) -> Result<(), String> {
        let Some(Token::Word(word)) = self.tokens.get(self.at).cloned() else {
            return Err(format!("{} is no function", shown(self.tokens.get(self.at))));
        };
        self.at += 1;
        let make = match word.as_str() {
            "startsWith" => FilterTest::Begins,
            "endsWith" => FilterTest::Ends,
            "contains" => FilterTest::Contains,
            _ => return Err(format!("Taut does not evaluate `{word}`")),
        };
        self.needs("(")?;
        let (Operand::Attribute(attribute, Kind::Text), Operand::Text(text)) = (left, self.operand()?) else {
            return Err(format!("`{word}` is for an attribute that is a text, and a text"));
        };
        self.needs(")")?;
        self.steps.push(FilterStep::Test(attribute, make(Text::new(&text))));
        Ok(())
    }

    fn among(&mut self, left: &Operand) -> Result<(), String> {
        let Operand::Attribute(attribute, kind) = left else {
            return Err("`in` asks for an attribute".to_owned());
        };
        self.needs("[")?;
        let mut count = 0;
        loop {
            let value = self.operand()?;
            self.compare((attribute.clone(), *kind), "==", &value)?;
            self.steps.extend((count != 0).then_some(FilterStep::Or));
            count += 1;
            if !self.takes(",") {
                return self.needs("]");
            }
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        let mut name = match token {
            Some(Token::Text(text)) => return Ok(Operand::Text(text)),
            Some(Token::Number(number)) => return Ok(Operand::Number(number)),
            Some(Token::Word(word)) if word == "true" || word == "false" => return Ok(Operand::Truth(word == "true")),
            Some(Token::Word(word)) => word,
            other => return Err(format!("an attribute or a value is missing before {}", shown(other.as_ref()))),
        };
        // The name goes on for as long as what stands behind the dot is no function.
        while let (Some(Token::Sign(".")), Some(Token::Word(word))) =
            (self.tokens.get(self.at), self.tokens.get(self.at + 1))
            && self.tokens.get(self.at + 2) != Some(&Token::Sign("("))
        {
            name = format!("{name}.{word}");
            self.at += 2;
        }
        if name == "request.headers" {
            self.needs("[")?;
            let Some(Token::Text(header)) = self.tokens.get(self.at).cloned() else {
                return Err("a header's name is missing".to_owned());
            };
            self.at += 1;
            self.needs("]")?;
            return Ok(Operand::Attribute(FilterAttribute::Header(header.to_ascii_lowercase().into()), Kind::Text));
        }
        let (attribute, kind) = attribute(&name).ok_or_else(|| format!("Taut does not know the attribute `{name}`"))?;
        Ok(Operand::Attribute(attribute, kind))
    }
}

fn turned(sign: &'static str) -> &'static str {
    match sign {
        "<" => ">",
        ">" => "<",
        "<=" => ">=",
        ">=" => "<=",
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn conditions_are_read_whole_or_not_at_all() {
        let table = [
            ("response.code >= 400",                                        "[Test(ResponseCode, Below(400)), Not]"),
            ("400 <= response.code && response.code < 500",                 "[Test(ResponseCode, Below(400)), Not, Test(ResponseCode, Below(500)), And]"),
            ("response.code == 0 || !connection.mtls",                      "[Test(ResponseCode, Equals(0)), Test(ConnectionMtls, True), Not, Or]"),
            ("connection.mtls == false",                                    "[Test(ConnectionMtls, True), Not]"),
            ("connection.mtls != false",                                    "[Test(ConnectionMtls, True)]"),
            ("request.url_path.startsWith('/a') && !(request.method in ['GET', \"HEAD\"])",
                "[Test(RequestUrlPath, Begins(\"/a\")), Test(RequestMethod, Is(\"GET\")), Test(RequestMethod, Is(\"HEAD\")), Or, Not, And]"),
            ("request.headers['X-A'] != 'b'",                               "[Test(Header(\"x-a\"), Is(\"b\")), Not]"),
            ("has(request.headers['x-a']) && response.code > 499",          "[Test(Header(\"x-a\"), Present), Test(ResponseCode, Below(500)), Not, And]"),
            ("xds.cluster_name == 'a'",                                     "Taut does not know the attribute `xds.cluster_name`"),
            ("response.code == '404'",                                      "`==` cannot compare these two"),
            ("request.path.matches('a')",                                   "Taut does not evaluate `matches`"),
            ("response.code >= 400 &&",                                     "an attribute or a value is missing before the end"),
            ("response.code >= 400 400",                                    "the number 400 is one too many"),
            ("(response.code >= 400",                                       "`)` is missing before the end"),
            ("response.code ? true : false",                                "`?` is not read"),
            ("response.code",                                               "a comparison is missing before the end"),
            ("1 == 1",                                                      "one side of a comparison must be an attribute"),
            ("",                                                            "an attribute or a value is missing before the end"),
        ];
        for (text, want) in table {
            let read = parse_log_filter(text).map_or_else(|why| why, |steps| format!("{steps:?}"));
            assert_eq!(read, want, "{text}");
        }
        assert!(parse_log_filter(&"!".repeat(100_000)).is_err());
    }
}
