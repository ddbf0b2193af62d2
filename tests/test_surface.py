"""What is read off a text: hand-written texts, a Markdown parser, the real file."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import toy
from hypothesis import given, settings
from hypothesis import strategies as st

from causalpref.auditing import audit
from causalpref.sources import load_hh_rlhf
from causalpref.text.surface import (
    PROMPT_FEATURES,
    RESPONSE_FEATURES,
    language_notes,
    prompt_features,
    surface_features,
    unknown_languages,
    with_surface_latents,
)

TEXTS = {
    # words, marks, refusal, question
    "One two  three.": (3, 0, 0, 0),
    "": (0, 0, 0, 0),
    "你好吗？": (3 / 1.6, 0, 0, 1),
    "我用Python 3.11写 **代码**。": (2 / 1.6 + 1 + 1 + 1 / 1.6 + 2 / 1.6, 1, 0, 0),
    "天気は good です": (2 / 1.6 + 1 / 1.7 + 1 + 2 / 1.7, 0, 0, 0),
    "ภาษาไทย ง่าย": (7 / 4.1 + 1, 0, 0, 0),
    "A shrug ¯\\_(ツ)_/¯ – naïve “café”": (6, 0, 0, 0),
    "## Plan\n\n1. **Boil** it\n2) drain it\n- eat": (10, 5, 0, 0),
    "* a\n  + b\n• c\n> - quoted": (9, 4, 0, 0),
    "#tag, 3.5 kg, -5 degrees, 2020. A year - that is *all* of it": (14, 0, 0, 0),
    "**a** and **b c**, 2**3**4 too": (6, 3, 0, 0),
    "** a ** and ** b": (6, 0, 0, 0),
    "f****** c***, ***very***": (3, 1, 0, 0),
    "| a | b |\n|---|:-:|\n| 1 | 2 |\r\nx | y": (14, 2, 0, 0),
    "See:\n```python\n# no heading\n- no item\n**no**\n```\n- item": (12, 2, 0, 0),
    "~~~\n- never closed": (4, 1, 0, 0),
    "```inline``` code\n- item": (4, 1, 0, 0),
    "````\n```\n- still code\n````\n# head": (8, 2, 0, 0),
    "Go to https://x.org/?q=1 now": (4, 0, 0, 0),
    "Why? Because.": (2, 0, 0, 1),
    'He asked "why?"': (3, 0, 0, 1),
    "Is it (or not?)": (4, 0, 0, 1),
}


@pytest.mark.parametrize("text", TEXTS)
def test_hand_written_texts(text):
    words, marks, refusal, question = TEXTS[text]
    row = surface_features([text]).iloc[0]
    assert row.tolist() == [np.log1p(words), np.log1p(marks), refusal, question]


@pytest.mark.parametrize(
    "text",
    [
        "I can't help with that.",
        "I can’t help with that.",
        "I cannot do this.",
        "I'm sorry, but that is not something I do.",
        "I am very sorry, but no.",
        "I'm sorry, I won't write that.",
        "Sorry, I am not able to give out an address.",
        "As an AI, I have no opinions.",
        "As a large language model, I cannot feel.",
        "I’m just an AI assistant.",
        '\n\n"I\'d rather not say."',
        "**I must decline** to answer.".replace("decline**", "decline to answer**"),
        "My apologies, but I was told not to.",
        "No, I will not.",
        "Unfortunately, I'm unable to open files.",
        "Hmm... I don't feel comfortable.",
        "I'm afraid that I can't answer this question.",
        "It would be unethical to tell you.",
        "That sounds really hard. I can't help you with that, though.",
        "i'm not going to do it",
        "I apologize, but I was trained to be kind.",
    ],
)
def test_declines(text):
    assert surface_features([text]).refusal[0] == 1


@pytest.mark.parametrize(
    "text",
    [
        "Sure, here is how.",
        "I can't wait to hear it!",
        "I couldn't agree more.",
        "I'm sorry to hear that. Try tea.",
        "I won't lie, it is hard.",
        "You can't park there.",
        "Sorry! Here is the list again.",
        "I can help with that.",
        "I can’t think of a better plan.",
        "It is legal in most places.",
        "As an airline pilot, I fly.",
        "I am an aide.",
        "The rule is simple: " + "x " * 100 + "I can't help with that.",
        "Islands can't help you.",
        "I can't recommend this book enough.",
    ],
)
def test_does_not_decline(text):
    assert surface_features([text]).refusal[0] == 0


# By language: texts that decline; texts in the same words that do not.
DECLINES = {
    "Chinese": """抱歉，我无法提供这方面的信息。
很抱歉，但我不能回答这个问题。
抱歉,我不能协助制作炸弹。
作为AI助手，我没有个人观点。
我无法访问互联网。
我理解您的感受，但我无法提供这样的方法。
抱歉，您的请求违反了我们的政策，我无法处理。
這是違法的行為，我不能幫你。
很抱歉，我無法回答這個問題。
作為一個人工智慧語言模型，我無法提供個人意見。""",
    "Japanese": """申し訳ありませんが、そのご要望にはお応えできません。
すみませんが、そのリクエストにはお手伝いできません。
その質問にはお答えできません。
AIとして、個人的な意見を持つことはできません。
大変申し訳ございませんが、回答を差し控えさせていただきます。""",
    "Thai": """ขออภัย ฉันไม่สามารถช่วยเรื่องนี้ได้
ขอโทษครับ แต่ผมไม่สามารถทำตามคำขอนั้นได้
ฉันไม่สามารถให้คำแนะนำทางการแพทย์ได้
ในฐานะโมเดลภาษา ฉันไม่สามารถเข้าถึงอินเทอร์เน็ตได้""",
    "Korean": """죄송하지만, 그 요청은 도와드릴 수 없습니다.
저는 AI 언어 모델로서 개인적인 의견을 가지고 있지 않습니다.""",
    "Spanish": """Lo siento, pero no puedo ayudarte con eso.
Como modelo de lenguaje, no tengo opiniones.""",
    "French": """Désolée, je ne peux pas répondre à cette question.
En tant qu’IA, je n'ai pas d'opinion.""",
    "German": """Tut mir leid, dabei kann ich nicht helfen.
Ich kann Ihnen bei dieser Anfrage leider nicht weiterhelfen.""",
    "Portuguese": """Sinto muito, não posso fornecer essa informação.
Não posso ajudar você com isso.""",
    "Italian": """Mi dispiace, ma non posso aiutarti.
Purtroppo non sono in grado di rispondere.""",
    "Russian": """Извините, но я не могу помочь с этим.
Как языковая модель, я не имею мнения.""",
    "Arabic": """عذراً، لا يمكنني مساعدتك في ذلك.
بصفتي نموذج لغوي، لا أملك آراء شخصية.""",
    "Hindi": """मुझे खेद है, लेकिन मैं इसमें मदद नहीं कर सकता।
माफ़ करें, मैं आपकी सहायता करने में असमर्थ हूँ।""",
    "Indonesian": """Maaf, saya tidak bisa membantu dengan itu.
Sebagai AI, saya tidak memiliki pendapat.""",
    "Vietnamese": """Xin lỗi, tôi không thể giúp bạn việc này.
Là một mô hình ngôn ngữ, tôi không có ý kiến cá nhân.""",
}
GOES_ON = {
    "Chinese": """我不能再同意了！
谢谢你的提问！
“对不起，”他低声说，“我来晚了。”
抱歉让你久等了，下面是列表。
对不起，我不能再爱你了。
作为人工智能助手，我可以解释为什么天然气不会用尽。
这不是违法的。
这个方法不能提供足够的精度。
我们无法提供准确的数字，但估计有三百人。
我無法想像沒有音樂的生活。""",
    "Japanese": """すみません、遅れました。
申し訳ありませんでした。以下が正しい一覧です。
信じられません！
ここに駐車することはできません。
AIとして、喜んでお手伝いします。
それは違法ではありません。""",
    "Thai": """ขอบคุณสำหรับคำถาม
ขออภัย นี่คือรายการที่ถูกต้อง
ฉันไม่สามารถรอได้เลย
ไม่สามารถจอดรถที่นี่ได้""",
    "Korean": """죄송합니다, 늦었습니다.
저는 AI 어시스턴트입니다. 무엇을 도와드릴까요?""",
    "Spanish": """No puedo creer lo bueno que es.
Lamentablemente, el precio es alto, pero vale la pena.""",
    "French": """Je suis désolé pour votre perte.
En tant qu'assistant, je serai ravi de vous aider.""",
    "German": """Ich kann es kaum erwarten.
Leider ist es teuer, aber gut.""",
    "Portuguese": """Sinto muito pela sua perda.
Não consigo dormir.""",
    "Italian": """Non posso crederci!
Come assistente posso aiutarti.""",
    "Russian": """Я не могу уснуть.
Извините за опоздание.""",
    "Arabic": """لا أستطيع الانتظار!
آسف على التأخير.""",
    "Hindi": """धन्यवाद! मैं आपकी मदद कर सकता हूँ।
मैं विश्वास नहीं कर सकता।""",
    "Indonesian": """Saya tidak sabar menunggu.
Sebagai AI, saya senang membantu.""",
    "Vietnamese": """Xin lỗi vì đã đến muộn.
Tôi không thể chờ đợi.""",
}


@pytest.mark.parametrize("language", DECLINES)
def test_declines_in_other_languages(language):
    declining, going_on = DECLINES[language].split("\n"), GOES_ON[language].split("\n")
    assert [t for t in declining if not surface_features([t]).refusal[0]] == []
    assert [t for t in going_on if surface_features([t]).refusal[0]] == []


def test_questions_without_spaces_or_with_other_marks():
    asked = """你喜欢音乐吗。
你呢
你叫什么?我叫小明。
怎么办呢
這樣好嗎！
どうすればいいでしょうか。
もう食べましたか
คุณสบายดีไหม
คุณชื่ออะไร
ทำไมท้องฟ้าเป็นสีฟ้า
ต้องทำอย่างไรครับ
ร้านเปิดกี่โมง
คุณคิดว่าเขาจะมาไหมคะ
เขาไปที่ไหน แล้วกลับมา
هل أنت بخير؟
Τι κάνεις;
Ինչպե՞ս ես
እንዴት ነህ፧""".splitlines()
    told = """吗啡是一种药物。
我还在吃饭呢。
静かな場所は豊か。
そうですか。
行くかどうかを決める。
ไม่มีอะไร
อย่างไรก็ตาม เขาไป
เสื้อทำจากผ้าไหม
มีไม่กี่คน
ไม่รู้ว่าเขาชื่ออะไร
ตรวจสอบว่าถูกต้องหรือไม่
α; β""".splitlines()
    assert [t for t in asked if not surface_features([t]).questions[0]] == []
    assert [t for t in told if surface_features([t]).questions[0]] == []


# One text each that is long enough for its language to be told.
SAMPLES = {
    "English": "The weather was fine, so we walked along the river and had lunch in the park.",
    "Chinese": "今天天气很好，我们沿着河边散步，然后在公园里吃午饭。",
    "Japanese": "今日は天気が良かったので、川沿いを散歩して公園で昼食を食べました。",
    "Thai": "วันนี้อากาศดี เราจึงเดินเล่นริมแม่น้ำ",
    "Polish": "Pogoda była ładna, więc poszliśmy na spacer wzdłuż rzeki i zjedliśmy obiad w parku.",
    "Turkish": "Hava güzeldi, bu yüzden nehir boyunca yürüdük ve parkta öğle yemeği yedik.",
    "Ukrainian": "Погода була гарна, тому ми гуляли вздовж річки й пообідали в парку.",
    "Persian": "هوا خوب بود، برای همین کنار رودخانه قدم زدیم و در پارک ناهار خوردیم.",
    "Greek": "Ο καιρός ήταν καλός, οπότε περπατήσαμε δίπλα στο ποτάμι.",
    "Burmese": "ရာသီဥတု ကောင်းတယ်",
}


def test_languages_that_a_feature_does_not_know():
    unknown = unknown_languages(list(SAMPLES.values()))
    share, names = unknown["refusal"]
    assert (share, sorted(names)) == (
        0.6,
        ["Burmese", "Greek", "Persian", "Polish", "Turkish", "Ukrainian"],
    )
    assert unknown["questions"] == (0.1, ["Burmese"]) and unknown["length"] == (0.0, [])
    for name in DECLINES:  # what is recognised is not called unknown
        joined = " ".join((DECLINES[name] + "\n" + GOES_ON[name]).split("\n"))
        assert unknown_languages([joined])["refusal"] == (0.0, []), name


def test_a_language_is_told_only_where_it_can_be():
    texts = [
        "yes",
        "ok",
        "42, 17 and 3.5",
        "",
        "Nie",
        "```\nfor i in range(10): print(i)\n```",
        "x_1 = f(y_2); return [a[0], b.c()] // https://example.org/jestem/tutaj",
        "!!! 😀😀",
        SAMPLES["Polish"] + " " + SAMPLES["Greek"] + " " + SAMPLES["Burmese"] * 3,
    ]
    assert [unknown_languages([t])["refusal"][0] for t in texts] == [0] * len(texts)
    assert unknown_languages([])["refusal"] == (0, [])


def test_a_note_says_what_is_not_recognised():
    texts = [SAMPLES["English"]] * 700 + [SAMPLES["Polish"]] * 200 + [SAMPLES["Turkish"]] * 100
    (note,) = language_notes(texts, seed=1)
    share = int(note.split("%")[0].removeprefix("About "))
    assert 24 <= share <= 36  # 500 of 1,000: three standard errors are below 5 points
    assert note == (
        f"About {share}% of the responses are in languages for which refusals are not recognised "
        "(Polish, Turkish): there the feature `refusal` is always 0."
    )
    assert language_notes(texts, seed=1) == [note]
    assert language_notes([SAMPLES["English"], SAMPLES["Chinese"]] * 99 + [SAMPLES["Greek"]]) == []


def test_the_audit_passes_the_note_on():
    data = toy()
    responses = [f"{SAMPLES['Polish']} {k}" for k in range(len(data.responses))]
    notes = audit(data.replace(responses=np.array(responses)), features=None).notes
    assert "About 100% of the responses are in languages for which refusals" in " ".join(notes)
    assert "languages" not in " ".join(audit(data, features=None).notes)


def test_responses_in_english_raise_no_note(real_hh_rlhf):
    share, names = unknown_languages(load_hh_rlhf(real_hh_rlhf).responses)["refusal"]
    assert share <= 0.004, names


def test_prompts():
    table = prompt_features(
        [
            "Plain words?",
            "Human: Hi there?\n\nAssistant: Yes?\n\nHuman: Tell me more",
            "note\n\nHuman: a?\n\nAssistant:",
        ]
    )
    assert tuple(table) == PROMPT_FEATURES
    assert table.turns.tolist() == [1, 2, 1] and table.questions.tolist() == [1, 0, 1]
    assert table.length.tolist() == np.log1p([2, 9, 4]).tolist()


def test_latents_are_the_features_of_the_texts():
    data = toy()
    made = with_surface_latents(data)
    assert made.response_latents.shape == (len(data.responses), len(RESPONSE_FEATURES))
    assert np.array_equal(made.response_latents, surface_features(data.responses))
    assert np.array_equal(made.prompt_latents, prompt_features(data.prompts))
    old = dict(response_latents=data.response_latents, prompt_latents=data.prompt_latents)
    assert made.replace(**old) == data, "nothing else changes"


def test_no_texts_and_wrong_texts():
    assert surface_features([]).shape == (0, 4) and prompt_features([]).shape == (0, 3)
    with pytest.raises(TypeError, match="texts must be a sequence of strings, got one string"):
        surface_features("hello")
    with pytest.raises(TypeError, match=r"prompts\[1\] is a NoneType, expected a string"):
        prompt_features(["a", None])


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.text(st.sampled_from("a|*#-`~ \n\t\r?1.>I'“你呢吗不能帮。？か์ไหม"), max_size=60),
        max_size=5,
    )
)
def test_any_text_has_finite_features(texts):
    for table in (surface_features(texts), prompt_features(texts)):
        assert len(table) == len(texts) and np.isfinite(table.to_numpy()).all()
        assert (table.to_numpy() >= 0).all()
    assert surface_features(texts).equals(surface_features([*texts, "# more"])[: len(texts)])


def markdown_marks(text):
    """List items, headings, bold spans, fences and table rows, as markdown-it sees them."""
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(text)
    tokens += [child for token in tokens for child in token.children or ()]
    counted = {"list_item_open", "heading_open", "strong_open", "fence", "tr_open"}
    return sum(token.type in counted for token in tokens)


@pytest.mark.parametrize(
    "text",
    [
        "# a\n\nb\n\n## c\n",
        "- a\n- b\n  - c\n- **d**\n",
        "1. a\n2. b\n\n**c d** e **f**",
        "```py\n# x\n- y\n```\n\n- z",
        "| a | b |\n|---|---|\n| 1 | **2** |\n",
        "a * b ** c - d",
        "~~~\n```\n- x\n~~~\n+ y",
        "> - a\n> - b",
        "####### seven\n",
        "2**3 and **\n",
        "---\n\n***\n",
    ],
)
def test_marks_agree_with_a_markdown_parser(text):
    assert surface_features([text]).formatting[0] == pytest.approx(np.log1p(markdown_marks(text)))


def test_marks_of_real_responses_agree_with_a_markdown_parser(real_hh_rlhf):
    texts = [t for t in load_hh_rlhf(real_hh_rlhf).responses if re.search(r"[*#|`~]|\n\s*[-\d]", t)]
    ours = np.expm1(surface_features(texts).formatting).round()
    theirs = np.array([markdown_marks(t) for t in texts])
    assert len(texts) > 150 and theirs.max() > 20
    # They part over bullets written as "•" and lists indented like code, both lists to a reader.
    assert np.mean(ours == theirs) > 0.93
    assert np.corrcoef(np.log1p(ours), np.log1p(theirs))[0, 1] > 0.95


def test_real_answers_to_red_teaming_decline_more_often(real_hh_rlhf):
    data = load_hh_rlhf(real_hh_rlhf)
    refusal = surface_features(data.responses).refusal.to_numpy()
    harmless = data.prompt_type[data.response_prompt] == 1
    rates = refusal[~harmless].mean(), refusal[harmless].mean()
    assert 0 < 2 * rates[0] < rates[1] < 0.2
