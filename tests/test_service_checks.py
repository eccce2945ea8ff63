"""Intents, hand-overs, satisfied customers and what is asked twice; all sentences are invented."""

import gzip
import json
from pathlib import Path

import pytest

from agent.record import NOT_MEANT
from suites.checks.intents import Labels
from suites.checks.service import hands_over, mood
from tests.suited import checked, item, values

CLINC = Path(__file__).parents[2] / "shared" / "data" / "dev" / "drift" / "clinc150.jsonl.gz"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("card_lost", 1.0), ("Card lost", 1.0), ("The intent is **card_lost**.", 1.0),
        ('{"intent": "card lost"}', 1.0), ("stolen card", 1.0), ("balance", 0.0),
        ("card lost or balance", 0.0), ("discard lost", 0.0), ("I do not know.", 0.0),
        ("card lost abroad", 0.0), ("", 0.0),
    ],
)  # fmt: skip
def test_an_answer_names_one_intent(answer: str, wanted: float) -> None:
    items = [
        item(intent="card_lost|stolen card"), item("t:2", reference="balance"),
        item("t:3", intent="card_lost_abroad|card lost abroad"), item("t:4"),
    ]  # fmt: skip
    row = checked("intent", items, [answer, "balance", "card lost abroad", answer])["intent_match"]
    assert values(row) == [wanted, 1.0, 1.0, NOT_MEANT]


def test_a_label_without_a_letter_is_no_label() -> None:
    items = [item(intent="\N{SLIGHTLY SMILING FACE}"), item("t:2", intent="balance")]
    row = checked("intent", items, ["I do not know.", "balance"])["intent_match"]
    assert values(row) == [NOT_MEANT, 1.0]


def test_every_intent_of_a_real_set_is_told_from_the_others() -> None:
    if not CLINC.is_file():
        pytest.skip("../shared/data is not there")
    with gzip.open(CLINC, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    intents = sorted({row["intent"] for row in rows})
    labels = Labels(intents)
    assert len(intents) == 75
    for intent in intents:
        said = intent.replace("_", " ")
        for answer in (intent, said.upper(), f'{{"intent": "{intent}"}}', f"Intent: {said}."):
            assert labels.named(answer) == said
    some = rows[:: len(rows) // 300]
    items = [item(f"t:{at}", reference=row["intent"]) for at, row in enumerate(some)]
    right = [f"Intent: {row['intent']}" for row in some]
    assert values(checked("intent", items, right)["intent_match"]) == [1.0] * len(some)
    # A model that always says the same is right as often as that intent occurs.
    same = checked("intent", items, [f"Intent: {some[0]['intent']}"] * len(some))["intent_match"]
    share = sum(row["intent"] == some[0]["intent"] for row in some)
    assert sum(value or 0.0 for value in (one.value for one in same)) == share


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry about that. Let me transfer you to one of our agents.",
        "I'll connect you with a colleague who can look into it.",
        "Please contact our customer support team at the number below.",
        "I have forwarded your case to the billing department.",
        "This needs a person: I am escalating this to a supervisor.",
        "You can speak to a human by typing 'agent'.",
        "A specialist will call you back within the hour.",
        "Ich verbinde Sie jetzt mit einer Mitarbeiterin.",
        "Bitte wenden Sie sich an unseren Kundendienst.",
        "Je vous transfère à un conseiller.",
        "Contactez notre service client.",
        "Le paso con un agente enseguida.",
        "Póngase en contacto con nuestro servicio de atención.",
        "La trasferisco a un operatore.",
        "Vou transferir a conversa para um atendente.",
    ],
)
def test_a_hand_over_is_found(text: str) -> None:
    assert hands_over(text)


@pytest.mark.parametrize(
    "text",
    [
        "Your order leaves the warehouse on Monday.",
        "To transfer money to another account, open the app.",
        "Connect the cable to the socket and wait for the light.",
        "There is no need to contact our support team.",
        "I cannot transfer you to an agent at this hour.",
        "Our team won a prize last year.",
        "Contact lenses are on the second floor.",
        "Die Waschmaschine wird mit dem Schlauch verbunden.",
        "Vous recevrez le colis demain.",
        "El pedido llega el martes.",
        "",
    ],
)
def test_what_hands_nobody_over_is_not(text: str) -> None:
    assert not hands_over(text)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Thanks, that worked!", 1.0), ("Perfect.", 1.0), ("Vielen Dank, hat geklappt.", 1.0),
        ("Merci beaucoup", 1.0), ("Gracias, ya funciona", 1.0), ("Obrigada!", 1.0),
        ("That is not what I asked.", 0.0), ("Thanks, but it still doesn't work.", 0.0),
        ("This is useless, let me speak to a human", 0.0), ("Das hilft mir nicht.", 0.0),
        ("Ça ne marche toujours pas, merci.", 0.0), ("No me ayuda.", 0.0),
        ("And how much is the blue one?", "says_neither"), ("", "says_neither"),
    ],
)  # fmt: skip
def test_a_customer_thanks_or_complains(said: str, wanted: float | str) -> None:
    assert values([mood(said)]) == [wanted]


def test_satisfaction_is_of_the_answer_that_was_reacted_to() -> None:
    log = "Open the settings."
    items = [
        item(reference=log, reaction="Thanks!"), item(reply=log, reaction="Useless."),
        item(reference=log, feedback="-1"), item(reference=log, rating="4"),
        item(reference=log, rating="9"), item(reference=log), item(reaction="Thanks!"),
    ]  # fmt: skip
    row = checked("satisfaction", items, [log] * len(items))["satisfaction"]
    assert values(row) == [1.0, 0.0, 0.0, 0.75, "bad_value", NOT_MEANT, NOT_MEANT]
    other = checked("satisfaction", items, ["Close the window."] * len(items))["satisfaction"]
    assert set(values(other)) == {NOT_MEANT}, "another answer had no reaction"


def test_an_answer_that_says_the_same_again_is_seen() -> None:
    before = "Please switch the router off and wait for ten seconds."
    turns = [("user", "No internet."), ("assistant", before)]
    items = [item(turns=turns), item(turns=turns), item(turns=turns), item()]
    texts = [before, "Then look whether the green light on its back is lit.", "Yes.", before]
    row = checked("turns", items, texts)["turn_repetition"]
    assert values(row) == [1.0, 0.0, "too_short", NOT_MEANT]


@pytest.mark.parametrize(
    ("said", "answer", "wanted"),
    [
        ("My order number is AB-12345.", "Could you tell me your order number?", 1.0),
        ("Order #98765 has not come.", "Please provide the order number.", 1.0),
        ("I am ann@example.org", "What is your e-mail address?", 1.0),
        ("Ring me on +49 151 2345 678", "May I have your phone number?", 1.0),
        ("Meine Bestellnummer ist 55512.", "Bitte nennen Sie Ihre Bestellnummer.", 1.0),
        ("My order number is AB-12345.", "What is your e-mail address?", 0.0),
        ("My order number is AB-12345.", "Your order number AB-12345 is on its way.", 0.0),
        ("Ring me on +49 151 2345 678", "What is your order number?", 0.0),
        ("Where is my parcel?", "What is your order number?", NOT_MEANT),
    ],
)
def test_who_has_said_it_is_not_asked_again(said: str, answer: str, wanted: float | str) -> None:
    items = [item(turns=[("user", said), ("assistant", "I see.")], prompt="Well?")]
    assert values(checked("turns", items, [answer])["asked_again"]) == [wanted]
