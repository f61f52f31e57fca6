"""Which of our regions is nearest to a country, by continent.

ISO 3166-1 alpha-2 codes. The Americas go to us; Europe, Africa and the Middle East
to eu; the rest of Asia and Oceania to asia.
"""

from types import MappingProxyType

_AMERICAS = """
AG AI AR AW BB BL BM BO BQ BR BS BZ CA CL CO CR CU CW DM DO EC FK GD GF GL GP GT GY
HN HT JM KN KY LC MF MQ MS MX NI PA PE PM PR PY SR SV SX TC TT US UY VC VE VG VI
"""
_EUROPE_AND_AFRICA = """
AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT
JE LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK
AE AM AZ BH GE IL IQ IR JO KW LB OM PS QA SA SY TR YE
AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY
MA MG ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA
ZM ZW
"""
_ASIA_AND_OCEANIA = """
AF BD BN BT CC CN CX HK ID IN IO JP KG KH KP KR KZ LA LK MM MN MO MV MY NP PH PK SG
TH TJ TL TM TW UZ VN
AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS
"""

REGION_OF_COUNTRY = MappingProxyType(
    {
        country: region
        for region, countries in (
            ("us", _AMERICAS),
            ("eu", _EUROPE_AND_AFRICA),
            ("asia", _ASIA_AND_OCEANIA),
        )
        for country in countries.split()
    }
)
