//! Sets of bytes, each a character of Latin-1, and the sets that RE2 has names for.

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes([u64; 4]);

impl Bytes {
    pub(crate) const NONE: Bytes = Bytes([0; 4]);
    pub(crate) const ALL: Bytes = Bytes([u64::MAX; 4]);

    pub(crate) fn of(ranges: &[(u8, u8)]) -> Bytes {
        let mut set = Bytes::NONE;
        for (low, high) in ranges {
            set.add(*low, *high);
        }
        set
    }

    pub(crate) fn add(&mut self, low: u8, high: u8) {
        for byte in low..=high {
            self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    pub(crate) fn and_also(&mut self, other: Bytes) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    pub(crate) fn others(self) -> Bytes {
        Bytes(self.0.map(|word| !word))
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// With the other case of every letter. In Latin-1 those are ASCII's and the accented ones.
    pub(crate) fn without_case(self) -> Bytes {
        let mut set = self;
        for byte in 0..=255u8 {
            if let (true, Some(other)) = (self.has(byte), other_case(byte)) {
                set.add(other, other);
            }
        }
        set
    }

    /// The set as ranges, in order.
    pub(crate) fn ranges(&self) -> Vec<(u8, u8)> {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for byte in (0..=255u8).filter(|byte| self.has(*byte)) {
            match ranges.last_mut() {
                Some((_, high)) if *high + 1 == byte => *high = byte,
                _ => ranges.push((byte, byte)),
            }
        }
        ranges
    }
}

fn other_case(byte: u8) -> Option<u8> {
    match byte {
        b'a'..=b'z' | 0xe0..=0xf6 | 0xf8..=0xfe => Some(byte - 0x20),
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => Some(byte + 0x20),
        _ => None,
    }
}

const LOWER: (u8, u8) = (b'a', b'z');
const UPPER: (u8, u8) = (b'A', b'Z');
const DIGIT: (u8, u8) = (b'0', b'9');

/// `\d`, `\s`, `\w`. RE2's blank does not have the vertical tab.
pub(crate) fn perl(letter: char) -> Option<Bytes> {
    Some(match letter {
        'd' => Bytes::of(&[DIGIT]),
        's' => Bytes::of(&[(b'\t', b'\n'), (0x0c, b'\r'), (b' ', b' ')]),
        'w' => Bytes::of(&[LOWER, UPPER, DIGIT, (b'_', b'_')]),
        'D' | 'S' | 'W' => perl(letter.to_ascii_lowercase())?.others(),
        _ => return None,
    })
}

/// `[:alpha:]` and its kin.
pub(crate) fn posix(name: &str) -> Option<Bytes> {
    Some(match name {
        "alnum" => Bytes::of(&[LOWER, UPPER, DIGIT]),
        "alpha" => Bytes::of(&[LOWER, UPPER]),
        "ascii" => Bytes::of(&[(0, 0x7f)]),
        "blank" => Bytes::of(&[(b'\t', b'\t'), (b' ', b' ')]),
        "cntrl" => Bytes::of(&[(0, 0x1f), (0x7f, 0x7f)]),
        "digit" => Bytes::of(&[DIGIT]),
        "graph" => Bytes::of(&[(b'!', b'~')]),
        "lower" => Bytes::of(&[LOWER]),
        "print" => Bytes::of(&[(b' ', b'~')]),
        "punct" => Bytes::of(&[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')]),
        "space" => Bytes::of(&[(b'\t', b'\r'), (b' ', b' ')]),
        "upper" => Bytes::of(&[UPPER]),
        "word" => Bytes::of(&[LOWER, UPPER, DIGIT, (b'_', b'_')]),
        "xdigit" => Bytes::of(&[DIGIT, (b'a', b'f'), (b'A', b'F')]),
        _ => return None,
    })
}

/// `\p{..}`: a category or script of Unicode, as far as it lies in Latin-1.
pub(crate) fn unicode(name: &str) -> Option<Bytes> {
    if name == "Any" {
        return Some(Bytes::ALL);
    }
    if let Some((_, ranges)) = CATEGORIES.iter().find(|(known, _)| *known == name) {
        return Some(Bytes::of(ranges));
    }
    // A category of one letter is all those that begin with it.
    if name.len() == 1 && CATEGORIES.iter().any(|(known, _)| known.starts_with(name)) {
        let mut set = Bytes::NONE;
        for (_, ranges) in CATEGORIES.iter().filter(|(known, _)| known.starts_with(name)) {
            set.and_also(Bytes::of(ranges));
        }
        return Some(set);
    }
    let latin = Bytes::of(LATIN);
    match name {
        "Latin" => Some(latin),
        "Common" => Some(latin.others()),
        _ => SCRIPTS.split_whitespace().any(|known| known == name).then_some(Bytes::NONE),
    }
}

const LATIN: &[(u8, u8)] = &[LOWER, UPPER, (0xaa, 0xaa), (0xba, 0xba), (0xc0, 0xd6), (0xd8, 0xf6), (0xf8, 0xff)];

/// The general categories of Unicode below U+0100; those that have no character there are empty.
#[rustfmt::skip]
const CATEGORIES: &[(&str, &[(u8, u8)])] = &[
    ("Cc", &[(0x00, 0x1f), (0x7f, 0x9f)]), ("Cf", &[(0xad, 0xad)]), ("Co", &[]), ("Cs", &[]),
    ("Ll", &[(0x61, 0x7a), (0xb5, 0xb5), (0xdf, 0xf6), (0xf8, 0xff)]), ("Lm", &[]), ("Lo", &[(0xaa, 0xaa), (0xba, 0xba)]), ("Lt", &[]),
    ("Lu", &[(0x41, 0x5a), (0xc0, 0xd6), (0xd8, 0xde)]), ("Mc", &[]), ("Me", &[]), ("Mn", &[]),
    ("Nd", &[(0x30, 0x39)]), ("Nl", &[]), ("No", &[(0xb2, 0xb3), (0xb9, 0xb9), (0xbc, 0xbe)]),
    ("Pc", &[(0x5f, 0x5f)]), ("Pd", &[(0x2d, 0x2d)]), ("Pe", &[(0x29, 0x29), (0x5d, 0x5d), (0x7d, 0x7d)]), ("Pf", &[(0xbb, 0xbb)]), ("Pi", &[(0xab, 0xab)]),
    ("Po", &[(0x21, 0x23), (0x25, 0x27), (0x2a, 0x2a), (0x2c, 0x2c), (0x2e, 0x2f), (0x3a, 0x3b), (0x3f, 0x40), (0x5c, 0x5c), (0xa1, 0xa1), (0xa7, 0xa7), (0xb6, 0xb7), (0xbf, 0xbf)]),
    ("Ps", &[(0x28, 0x28), (0x5b, 0x5b), (0x7b, 0x7b)]), ("Sc", &[(0x24, 0x24), (0xa2, 0xa5)]), ("Sk", &[(0x5e, 0x5e), (0x60, 0x60), (0xa8, 0xa8), (0xaf, 0xaf), (0xb4, 0xb4), (0xb8, 0xb8)]),
    ("Sm", &[(0x2b, 0x2b), (0x3c, 0x3e), (0x7c, 0x7c), (0x7e, 0x7e), (0xac, 0xac), (0xb1, 0xb1), (0xd7, 0xd7), (0xf7, 0xf7)]), ("So", &[(0xa6, 0xa6), (0xa9, 0xa9), (0xae, 0xae), (0xb0, 0xb0)]),
    ("Zl", &[]), ("Zp", &[]), ("Zs", &[(0x20, 0x20), (0xa0, 0xa0)]),
];

/// The other scripts that RE2 knows: none has a character in Latin-1.
const SCRIPTS: &str = "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali \
    Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee \
    Chorasmian Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan \
    Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi \
    Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi \
    Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki \
    Khudawadi Lao Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen \
    Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro \
    Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki \
    Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur \
    Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan \
    Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac \
    Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto \
    Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square";
