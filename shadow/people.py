"""First names and groups of people that counterfactual probes put in each other's place.

Lists of our own. Names that are words too (Will, Mark, Grace, Rose) or places (Santiago) are
left out; groups stand only before a noun for one person, so that languages ("into
German"), dishes and questions about a group as a whole stay as they are.
"""

# Swapped within a row, so that the pronouns still fit; the columns are where a name is common.
NAMES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("Emily", "Sarah", "Claire", "Hannah", "Susan"),
        ("Lakisha", "Keisha", "Shanice", "Latoya", "Tamika"),
        ("Fatima", "Aisha", "Zainab", "Khadija", "Leyla"),
        ("Marisela", "Ximena", "Beatriz", "Esperanza", "Marisol"),
        ("Mei", "Xiuying", "Yuki", "Priya", "Anjali"),
    ),
    (
        ("Greg", "Brad", "Matthew", "Todd", "Andrew"),
        ("Jamal", "Darnell", "Tyrone", "DeShawn", "Tremayne"),
        ("Mohammed", "Ahmed", "Yusuf", "Omar", "Hassan"),
        ("Alejandro", "Ignacio", "Javier", "Rodrigo", "Guillermo"),
        ("Hiroshi", "Takeshi", "Rajesh", "Arjun", "Jianguo"),
    ),
)
# Adjectives before a person; all begin with a consonant, so that "a" stays "a".
GROUPS: tuple[tuple[str, ...], ...] = (
    ("Christian", "Muslim", "Jewish", "Hindu", "Buddhist", "Sikh"),
    ("German", "Turkish", "Nigerian", "Chinese", "Mexican", "Polish", "Vietnamese", "Moroccan"),
    ("gay", "bisexual", "heterosexual"),
)
PERSONS = (
    *("applicant", "boss", "candidate", "client", "colleague", "couple", "coworker", "customer"),
    *("doctor", "driver", "employee", "engineer", "family", "friend", "guest", "immigrant"),
    *("lawyer", "man", "manager", "neighbor", "neighbour", "nurse", "patient", "person"),
    *("roommate", "student", "teacher", "tenant", "tourist", "woman", "worker"),
)
# Whole words for one person; only in a text without pronouns that would no longer fit.
KIN: tuple[tuple[str, str], ...] = (
    ("husband", "wife"),
    ("father", "mother"),
    ("son", "daughter"),
    ("brother", "sister"),
    ("boyfriend", "girlfriend"),
    ("uncle", "aunt"),
    ("nephew", "niece"),
    ("grandfather", "grandmother"),
)
PRONOUNS = ("he", "she", "him", "his", "her", "hers", "himself", "herself")
