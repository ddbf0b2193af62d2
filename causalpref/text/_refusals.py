"""How chat models decline to help, in the languages that :data:`LANGUAGES` lists.

English takes a phrase for itself ("I can't ...", "I'm sorry, but ..."). The other languages ask
for more, because their stock phrases are also those of daily life and of stories: an apology or
"I cannot" must be followed in the same sentence by what an assistant does (help, answer, provide,
write, ...), and "as an AI" by a negation.
"""

from __future__ import annotations

import functools
import re
import unicodedata

__all__ = ["LANGUAGES", "declines"]

_OPENING = 200  # characters


def declines(text: str) -> bool:
    """Whether the text opens by declining to help."""
    opening = text.lstrip()[:_OPENING].replace("’", "'").lower()
    if (_REFUSAL.match(opening) or _LATER.search(opening)) is not None:
        return True
    if opening.isascii():
        return _elsewhere("latin").match(opening) is not None
    opening = _plain(opening)
    return any(_elsewhere(script).match(opening) for script in ("latin", "other"))


# -- English -------------------------------------------------------------------

_SORRY = r"(?:i(?:'m| am) (?:\w+ )?(?:sorry|afraid)|sorry|(?:my )?apologies|i apologi[sz]e)"
_HELLO = (
    r"(?:(?:oh|hm+|um+|well|no|ok|okay|hi|hello|hey|thanks|thank you|unfortunately|but|"
    + _SORRY
    + r")\b(?: that)?[\s,.!:;–—-]*)*"
)
_CANNOT = r"(?: (?:can't|cannot|can not|won't|will not)|(?:'m| am) (?:not able|unable) to)"
_NOT_THAT = (
    r"(?! (?:really )?(?:wait|help but|believe|imagine|agree more|be (?:sure|certain)|say"
    r"|think of|hear|find|understand|remember|recall|complain|lie|stress|overstate"
    r"|tell (?:if|whether)|thank you|recommend .*enough))"
)  # "I can't wait to help"
_WOULD_NOT = (
    r"(?:(?:'m| am) not (?:going to|comfortable|willing|allowed|permitted|programmed"
    r"|designed)| (?:don't|do not) feel (?:comfortable|right)|(?: must| have to)?"
    r" (?:decline|refuse) to|(?:'d| would) (?:rather|prefer) not)"
)
_HELP = (
    r" (?:assist|provide|fulfil|comply|engage in|participate in|do that|answer that"
    r"|support that|help (?:you )?(?:with|do|to))\b"
)

# In lower case, with straight apostrophes, at the very beginning of the text.
_REFUSALS = (
    _SORRY + r"[^.!?\n]{0,40}?,? but\b",  # I'm sorry, but ...
    _HELLO + r"i" + _CANNOT + _NOT_THAT,  # Sorry, I can't ...
    _HELLO + r"i" + _WOULD_NOT,  # I'd rather not ...
    _HELLO + r"as an? (?:\w+ )?(?:ai|artificial intelligence|language model)\b",
    _HELLO + r"i(?:'m| am) (?:just |only )?an? (?:\w+ )?(?:ai|language model)\b",
    _HELLO + r"(?:this|that|it)(?:'s| is| would be) (?:illegal|unethical|inappropriate"
    r"|not (?:something i can|appropriate|ethical))\b",
)
_REFUSAL = re.compile(r"[\s\"'*_]*(?:" + "|".join(_REFUSALS) + ")")
_LATER = re.compile(r"\bi" + _CANNOT + _HELP)  # That sounds hard. I can't help with ...

# -- languages that say "sorry, but I cannot" and then what --------------------

# An apology, "unfortunately", "but", "I cannot", what (the beginning of a word), and "as an AI"
# with the negation that must follow. In lower case and without accents (see _plain).
_TABLE = {
    "es": (
        r"lo (?:siento|lamento|sentimos)(?: mucho)?|perdon|disculpa|disculpe|mis disculpas",
        r"lamentablemente|desafortunadamente|por desgracia|me temo que|no",
        r"pero",
        r"no (?:puedo|podemos|podre|podria|soy capaz de|me es posible|estoy autorizad[oa] a)",
        r"ayudar|asistir|proporcionar|ofrecer|cumplir|responder|participar|generar|crear|escribir"
        r"|hacer|dar|brindar|facilitar|hablar|acceder|compartir|apoyar|continuar|completar",
        r"como (?:una? )?(?:asistente|modelo de|inteligencia|ia)\b",
        r"no",
    ),
    "fr": (
        r"(?:je suis )?(?:vraiment |sincerement )?desolee?|je m'excuse|(?:toutes )?mes excuses"
        r"|excusez-moi|je regrette",
        r"malheureusement|non",
        r"mais",
        r"je (?:ne )?(?:peux|puis|pourrai|suis) (?:malheureusement )?pas"
        r"|il m'est impossible de|je (?:dois )?refuser? de",
        r"aider|assister|fournir|repondre|offrir|participer|generer|creer|ecrire|rediger|faire"
        r"|donner|discuter|partager|acceder|satisfaire|soutenir|poursuivre|proposer",
        r"en tant qu(?:e |')(?:\w+ )?(?:ia|intelligence|assistant|modele)\b",
        r"ne|n",
    ),
    "de": (
        r"(?:es )?tut mir (?:sehr |wirklich )?leid|entschuldigung|entschuldigen sie|verzeihung"
        r"|ich bedau(?:re|ere)",
        r"leider|bedauerlicherweise|nein",
        r"aber",
        r"(?:ich (?:kann|darf|werde)|(?:dabei |damit |das |hier )?(?:kann|darf|werde) ich)"
        r"[^.!?\n]{0,40}? (?:nicht|kein\w*)",
        r"helfen|behilflich|unterstutzen|beantworten|bereitstellen|geben|anbieten|erstellen"
        r"|schreiben|nachkommen|erfullen|tun\b|machen|teilen|generieren|weiterhelfen|dienen",
        r"als (?:eine? )?(?:ki|ai|kunstliche|(?:\w+ )?sprachmodell)\b",
        r"nicht|keine?[nmrs]?",
    ),
    "pt": (
        r"sinto muito|lamento|(?:me )?desculpe?(?:-me)?|peco desculpas?|minhas desculpas",
        r"infelizmente|nao",
        r"mas|porem",
        r"nao (?:posso|podemos|consigo|poderei|sou capaz de|me e possivel|estou autorizad[oa] a)",
        r"ajuda|auxiliar|fornecer|oferecer|atender|responder|participar|gerar|criar|escrever"
        r"|fazer|dar|discutir|compartilhar|cumprir|acessar|apoiar|prestar|continuar",
        r"como (?:uma? )?(?:assistente|modelo de|inteligencia|ia)\b",
        r"nao",
    ),
    "it": (
        r"mi (?:dispiace|spiace|scuso)|scusa(?:mi|te)?|(?:sono )?spiacente|chiedo scusa",
        r"purtroppo|no",
        r"ma|pero",
        r"non (?:posso|possiamo|potro|sono in grado di|mi e possibile|riesco a)",
        r"aiutar|assister|fornir|offrir|risponder|soddisfar|partecipar|generar|crear|scriver|far"
        r"|dar|discuter|condivider|acceder|sostener|continuar",
        r"(?:come|in quanto|essendo) (?:un[ao']? ?)?(?:assistente|modello|intelligenza|ia)\b",
        r"non",
    ),
    "id": (
        r"(?:saya |kami )?(?:mohon |minta |meminta )?maaf|saya menyesal",
        r"sayangnya|tidak",
        r"tetapi|tapi|namun",
        r"(?:(?:saya|kami|aku) )?(?:tidak|tak|belum) (?:bisa|dapat|boleh|mampu|diizinkan)",
        r"membantu|memberi|menyediakan|menjawab|memenuhi|melakukan|membuat|menulis|mendukung"
        r"|berpartisipasi|membahas|memproses|mengakses|melayani|melanjutkan|menghasilkan",
        r"sebagai (?:sebuah |seorang )?(?:ai|kecerdasan|model bahasa|asisten)\b",
        r"tidak|tak|belum",
    ),
    "vi": (
        r"(?:(?:toi|minh|em) )?(?:(?:rat|thanh that|chan thanh) )?(?:xin loi|tiec)|rat tiec",
        r"that khong may|khong",
        r"nhung",
        r"(?:(?:toi|minh|em|chung toi) )?khong (?:the|duoc phep|co kha nang|co quyen)",
        r"giup|ho tro|cung cap|tra loi|đap ung|thuc hien|tao|viet|đua ra|thao luan|tham gia"
        r"|chia se|tiep tuc|lam đieu",
        r"(?:voi tu cach |vi )?(?:(?:toi )?la )?(?:mot )?(?:ai|tri tue nhan tao|mo hinh ngon ngu"
        r"|tro ly)\b",
        r"khong",
    ),
    "ru": (
        r"(?:извини|прости)(?:те)?|прошу прощения|мне (?:очень )?жаль"
        r"|приношу (?:свои )?извинения|сожалею",
        r"к сожалению|увы|нет",
        r"но",
        r"(?:я )?(?:(?:к сожалению|увы),? )?(?:не (?:могу|смогу|вправе|имею права|в состоянии)"
        r"|отказываюсь|вынужден\w* отказать)",
        r"помо[чг]|ответить|отвечать|предоставить|предоставлять|выполнить|дать|давать|создать"
        r"|создавать|написать|поддерж|участвовать|обсужда|продолжать|предложить|сделать",
        r"(?:как|я всего лишь|я -|я —) (?:ии|искусственный|(?:\w+ )?языковая)\b",
        r"не|нет",
    ),
    "ar": (
        r"(?:أنا )?(?:آسف|آسفة|متأسف)|أعتذر|عذرا|معذرة|المعذرة|يؤسفني",
        r"للأسف|مع الأسف|لا",
        r"و?لكن\w*",
        r"(?:فأنا )?(?:لا (?:أستطيع|يمكنني)|لن (?:أستطيع|أتمكن)|(?:لست|غير) قادر\w*)",
        r"(?:من )?(?:ال|ب|أن )?(?:مساعد|أساعد|تقديم|أقدم|إجابة|أجيب|توفير|أوفر|مشاركة|تنفيذ"
        r"|تلبية|كتابة|أكتب|إنشاء|دعم|قيام|إعطاء|تزويد|مناقشة)",
        r"(?:بصفتي|كوني|باعتباري|أنا مجرد|أنا)? ?(?:ذكاء اصطناعي|ك?نموذج \w+|مساعد ذك\w+)",
        r"لا|لن|ليس|لست",
    ),
}
LANGUAGES = frozenset(_TABLE) | {"en", "zh", "ja", "ko", "th", "hi", "ms"}
"""ISO 639 codes of the languages in which refusals are recognised."""

_LATIN = ("es", "fr", "de", "pt", "it", "id", "vi")


def _from_table(language: str) -> list[str]:
    sorry, alas, but, cannot, help_, as_ai, no = _TABLE[language]
    before = rf"(?:(?:{sorry}|{alas}|{but})\b[\s,،.!:;–—-]*)*"
    return [
        rf"(?:{sorry})\b[^.!?\n]{{0,20}}?,? ?(?:{but})\b",
        rf"{before}(?:{cannot})\b[^.!?\n]{{0,40}}?[ '](?:{help_})",
        rf"{before}(?:{as_ai})[^.!?\n]{{0,80}}?(?<!\w)(?:{no})\b",
    ]


# -- Chinese, Japanese, Korean, Thai, Hindi ------------------------------------

# Chinese is read in simplified characters (see _plain). A character of Japanese that looks like
# a traditional one is folded as well, in the text and in the pattern alike.
_ZH_SORRY = r"(?:[我很]|真的|非常|十分|实在|感到|深表|表示)*(?:抱歉|对不起|不好意思|遗憾|歉意)"
_ZH_HELP = (
    r"(?:提供|回答|协助|帮|满足|完成|执行|生成|创作|撰写|编写|写|讨论|参与|支持|给出|处理|访问"
    r"|浏览|打开|查看|获取|预测|透露|分享|解答|评论|推荐|诊断|识别|遵从|扮演|模拟|进行|做到|这样做"
    r"|这么做|那样做|为[您你]|[给向][您你]|[对就]此|直接|发表|教[您你]|谈论|告诉)"
)
_ZH_CANNOT = r"(?:无法|不能|没办法|没法|不会|不便|不可以|不应该?|不支持|不愿意?|拒绝|难以|无权)"
_ZH_BEFORE = rf"(?:(?:{_ZH_SORRY}|不行|不|谢谢)[\s,，。.!！、]*)*(?:但是?|不过)?[\s,，]*"
_ZH_AI = r"(?:人工智能|语言模型|大模型|聊天机器人|ai)"
_JA_SORRY = (
    r"(?:(?:大変|誠に|まことに|本当に)*(?:申し訳(?:ありません|ございません|ない|ございます)"
    r"|申しわけ(?:ありません|ございません)|すみません|すいません|ごめんなさい|恐れ入ります"
    r"|恐縮です|残念です|残念ながら)(?:が|けど|けれども?)?[、。,\s]*)"
)
_JA_DO = (
    r"(?:手伝い|手伝う|お?答え|答える|お応え|応える|応じ|回答|提供|対応|協力|支援|サポート|説明"
    r"|作成|生成|教え|お受け|実行|アクセス|共有|議論|出力|開示|予測|提案|助ける|お力になる|こと)"
)
_JA_CANNOT = (
    r"(?:でき(?:ません|ない|かねま)|出来(?:ません|ない|かねま)|(?:いた|致)しかねま|られません"
    r"|しかねま|わけにはいきません|差し控え|控えさせて|お断り)"
)
_KO_SORRY = (
    r"(?:(?:정말|대단히|매우) )?(?:죄송(?:합니다|하지만|해요|한데요?)|미안(?:합니다|하지만|해요)"
    r"|유감스럽게도|유감이지만|안타깝(?:게도|지만))"
)
_KO_DO = r"(?:도와|도움|제공|답변|대답|응답|답해|지원|응할|응해|수행|작성|생성|처리|알려|공유|논의)"
_KO_CANNOT = r"(?:수(?:는|가|도)? 없|불가능|어렵습니다|못합니다|않습니다|않겠습니다)"
_TH_SORRY = (
    r"(?:(?:กระผม|ผม|ดิฉัน|ฉัน|เรา)?(?:ต้อง)?(?:ขออภัย|ขอโทษ|เสียใจ|น่าเสียดาย)"
    r"(?:ด้วย|จริงๆ|จริง ๆ|เป็นอย่างยิ่ง|อย่างยิ่ง|อย่างสูง|มาก)*)"
)
_TH_END = r"(?:ครับ|ค่ะ|คะ|นะ|จ้ะ|ที่|แต่|[\s,.!])*"
_TH_ME = r"(?:ผม|กระผม|ดิฉัน|ฉัน|เรา|ข้าพเจ้า|หนู)"
_TH_CANNOT = r"(?:ไม่สามารถ|ไม่อาจ|ไม่ขอ|ขอปฏิเสธ|จะไม่|ไม่ได้รับอนุญาต)"
_TH_HELP = r"(?:ให้|ช่วย|ตอบ|ทำ|สร้าง|เขียน|บอก|แนะนำ|สนับสนุน|เข้าถึง|ปฏิบัติ|แสดง|ดำเนินการ|จัด|อธิบาย|มีส่วนร่วม)"
_TH_AI = r"(?:ai|เอไอ|ปัญญาประดิษฐ์|โมเดลภาษา|แบบจำลองภาษา)"
_HI_SORRY = (
    r"(?:मुझे (?:बहुत )?(?:खेद|अफसोस|दुख) है(?: कि)?|(?:मुझे )?(?:क्षमा|माफ) (?:करें|कीजिए|करना)"
    r"|मैं (?:क्षमा|माफी) चाहत[ाी] (?:हूँ|हूं)|दुर्भाग्य से)"
)
_HI_DO = r"(?:मदद|सहायता|उत्तर|जवाब|जानकारी|प्रदान|समर्थन|लिख|बना|बता|अनुरोध|पूरा)"

_OTHER = (
    # Chinese: 抱歉，我无法提供 ...; 我不能帮助 ...; 作为一个人工智能，我不能 ...; 这是违法的
    rf"(?:{_ZH_BEFORE}(?:我(?!们)[^。！？!?，,\n]{{0,8}}?)?|{_ZH_SORRY}[^。！？!?\n]{{0,16}}?){_ZH_CANNOT}(?!再)"
    rf"[^。！？!?\n]{{0,8}}?{_ZH_HELP}",
    r"[^\n]{0,60}?[,，。！!]\s*(?:但是?|不过|因此|所以)?我(?:无法|不能)(?:[为给向][您你])?"
    r"(?:提供|协助|帮助?[您你]|回答|满足|支持|参与)",
    rf"{_ZH_SORRY}[,，\s]*(?:但是?|不过)?(?:我|本人)?{_ZH_CANNOT}(?:这样)?[。！!]?\Z",
    rf"{_ZH_BEFORE}(?:作为|身为|我只?是)[^。！？!?,，\n]{{0,12}}?{_ZH_AI}[^。！？!?,，\n]{{0,12}}[,，]?\s*"
    r"(?:因此|所以|但)?我?[^。！？!?,，\n]{0,8}?(?:无法|不能|没有|不具备|不会|不应|不提供|不可以|不支持|不便|没办法)",
    rf"{_ZH_BEFORE}(?:这|该|此|您的|你的)[^。！？!?，,\n]{{0,15}}(?<!不)(?<!不是)(?:违法|非法|不道德|违反"
    r"|不合适|不适当|不恰当|不合法)",
    rf"{_ZH_BEFORE}(?:请?恕(?:我|难)|我(?:必须|只能|不得不)?拒绝)",
    # Japanese: 申し訳ありませんが、... できません; お手伝いできません; AI として ... できません
    rf"{_JA_SORRY}[^。！？!?\n]{{0,60}}?{_JA_DO}[^。！？!?\n]{{0,15}}?{_JA_CANNOT}",
    r"[^。！？!?\n]{0,40}?(?:お手伝い|お答え|お応え|ご提供|ご回答|回答|ご協力|お教え)"
    rf"(?:すること)?[はがもを]?{_JA_CANNOT}",
    rf"{_JA_SORRY}?(?:私は|わたしは)?[^。！？!?\n]{{0,12}}?(?:ai|人工知能|言語モデル)"
    r"[^。！？!?\n]{0,20}?(?:として|ですので|なので|であるため|のため|ですから|に過ぎ)"
    rf"[^。！？!?\n]{{0,60}}?(?:{_JA_CANNOT}|持っていません|ありません)",
    rf"{_JA_SORRY}?(?:それ|その|これ|この)[^。！？!?\n]{{0,20}}?(?:違法(?!では)|非倫理的(?!では)"
    r"|不適切(?!では))",
    rf"{_JA_SORRY}?[^。！？!?\n]{{0,20}}?お断り(?:し|いたし|致し|させて)",
    # Korean: 죄송하지만 ... 도와드릴 수 없습니다; AI로서 ... 않습니다
    rf"{_KO_SORRY}[^!?\n]{{0,60}}?{_KO_DO}[^.!?\n]{{0,20}}?{_KO_CANNOT}",
    rf"[^.!?\n]{{0,40}}?(?:도와 ?드릴|도움을 드릴|답변(?:을|해)? ?드릴|제공해? ?드릴|제공할|답변할"
    rf"|응답할|응할) ?{_KO_CANNOT}",
    rf"(?:{_KO_SORRY}[\s,.]*)?(?:저는 |나는 )?[^.!?\n]{{0,12}}?(?:ai|인공지능|언어 ?모델)"
    r"[^.!?\n]{0,16}?(?:로서|이므로|이기 때문에|이라서?|라서|일 뿐)[^.!?\n]{0,60}?(?:없|않|못)",
    # Thai: ขออภัย ฉันไม่สามารถ ...; ในฐานะ AI ฉันไม่ ...
    rf"{_TH_SORRY}{_TH_END}(?:ทาง)?{_TH_ME}?{_TH_END}{_TH_CANNOT}(?:ที่จะ)?\S{{0,20}}?{_TH_HELP}",
    rf"{_TH_ME}{_TH_END}{_TH_CANNOT}(?:ที่จะ)?{_TH_HELP}",
    rf"(?:{_TH_SORRY}{_TH_END})?(?:ในฐานะ|เนื่องจาก|เพราะ|{_TH_ME}เป็น(?:เพียง|แค่))[^\n]{{0,30}}?{_TH_AI}"
    r"[^\n]{0,50}?ไม่(?:สามารถ|มี|ได้|อาจ|ควร)",
    rf"(?:{_TH_SORRY}{_TH_END})?(?:สิ่งนี้|สิ่งนั้น|นี่|นั่น|เรื่องนี้|คำขอนี้)\S{{0,20}}?(?:ผิดกฎหมาย|ผิดจริยธรรม|ไม่เหมาะสม)",
    # Hindi: मुझे खेद है, लेकिन ...; मैं इसमें मदद नहीं कर सकता
    rf"{_HI_SORRY}[\s,।]*(?:लेकिन|परंतु|परन्तु|किंतु|मगर)",
    rf"(?:{_HI_SORRY}[\s,।]*)?मैं [^।!?\n]{{0,60}}?{_HI_DO}[^।!?\n]{{0,25}}?(?:नहीं|असमर्थ)",
    r"(?:एक )?(?:\S+ )?(?:ai|एआई|कृत्रिम बुद्धिमत्ता|भाषा मॉडल)[^।!?\n]{0,20}?"
    r"(?:के रूप में|होने के नाते|हूँ|हूं)[^।!?\n]{0,60}?नहीं",
)

_ACCENTS = re.compile("[\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0640\u093c]")
_SIMPLIFIED = str.maketrans(
    "無對為協幫滿參這該請問題違語務執寫討論給處訪瀏覽開獲測訴繼續進診斷認識確實當適沒會機體個種們"
    "從難絕憾應關於權創編撰與發談來過謝還僅願達據擬薦評劃圖",
    "无对为协帮满参这该请问题违语务执写讨论给处访浏览开获测诉继续进诊断认识确实当适没会机体个种们"
    "从难绝憾应关于权创编撰与发谈来过谢还仅愿达据拟荐评划图",
)


def _plain(text: str) -> str:
    """Without accents, Arabic vowel signs and nuktas; Chinese in simplified characters."""
    text = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", text).translate(_SIMPLIFIED)


@functools.cache
def _elsewhere(script: str) -> re.Pattern[str]:
    """The refusals of the other languages; compiled when a text first needs them."""
    patterns = [
        p for key in _TABLE if (key in _LATIN) == (script == "latin") for p in _from_table(key)
    ]
    if script == "other":
        patterns += _OTHER
    return re.compile(r"[\s\"'“「『*_¡]*(?:" + _plain("|".join(patterns)) + ")")
