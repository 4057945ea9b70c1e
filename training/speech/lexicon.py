"""Common English words by the place they take in a sentence; written for this project."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace("_", " ").split()) if "_" not in text else _phrases(text)


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(part.replace("_", " ") for part in text.split())


PEOPLE = _words("""
    I you we they he she everyone nobody somebody Bob Pam Emma Vivian Mark Paul Mary Peter Thomas
    Maya Phoebe Walter Fiona Robin Ben Amy Victor Olive Wendy Hugo Zoe Judith Charlie Theo Ruth
    my_mother my_father my_brother our_neighbour the_doctor the_teacher the_farmer the_boss
    the_baby the_waiter a_friend_of_mine the_people_upstairs the_woman_at_the_desk both_of_them
    most_people the_whole_family a_young_man the_mayor the_pilot the_chef my_wife my_uncle
""")
THINGS = _words("""
    map book paper pen phone number message window door table bottle cup mug spoon knife fork
    bowl apple banana pepper tomato potato bread butter jam cheese soup beef fish pie pizza
    coffee tea beer wine water milk umbrella blanket pillow lamp mirror bed sofa shelf cupboard
    box bag basket wallet ticket passport key lock camera computer keyboard screen printer robot
    piano guitar drum violin trumpet song movie story poem letter picture photo painting colour
    bus train boat ship plane bike car van wheel motor engine bridge road path map_of_the_town
    park garden flower bush tree leaf branch forest river lake beach wave mountain hill valley
    house apartment room kitchen bathroom roof wall floor stairs balcony office shop market bank
    bird dog puppy cat mouse horse cow sheep bee frog elephant giraffe shoe shirt coat glove hat
    problem answer question idea plan job meeting project budget report summer winter weather
    storm cloud rain snow wind morning evening weekend birthday party wedding game match team
    power pump valve pipe wire battery bulb hammer thumb arm hand foot mouth lip voice ear eye
    opinion promise purpose judgement method theory measure treasure vision treasure version
    church school university hospital museum theatre village city country harbour airport
    machine engine_room washing_machine video_call web_page password update password_manager
""")
ADJECTIVES = _words("""
    big small warm cold hot cool old young new brown blue purple black white yellow green grey
    happy sad calm angry proud brave shy funny serious simple complex heavy light broad narrow
    deep shallow empty full open broken cheap expensive famous popular private public possible
    impossible beautiful ugly smooth rough sharp soft loud quiet quick slow early late strong
    weak wild warm-hearted awful wonderful comfortable remarkable visible terrible whole huge
""")
VERBS = _words("""
    bought sold made broke moved opened closed found lost saw heard watched wrapped packed
    carried dropped pushed pulled lifted painted fixed built removed improved borrowed loved
    wanted needed described remembered forgot imagined offered promised brought took gave_up
    showed covered filled emptied washed measured photographed picked_up put_back looked_for
    thought_about talked_about asked_about paid_for waited_for laughed_at believed_in
    never_understood always_admired hardly_noticed almost_missed could_not_find would_love
""")
DOINGS = _words("""
    help work stop begin move play sing dance swim walk run fly drive travel sleep wake_up
    speak whisper shout laugh smile hum wave jump climb wait hope remember forget improve
    buy_a_new_one bring_it_back put_it_away pick_them_up fix_the_pump warm_the_soup open_the_box
    move_to_Paris play_the_piano make_a_proper_plan leave_before_five phone_my_mother
    have_a_cup_of_tea find_a_better_way keep_a_promise think_about_it watch_a_movie go_home_now
""")
PLACES = _words("""
    at_home in_the_park on_the_table by_the_bay above_the_shop under_the_bridge behind_the_wall
    before_the_bank between_the_boxes in_front_of_the_museum at_the_top_of_the_hill in_Bombay
    in_the_middle_of_the_room on_the_way_back over_the_river near_the_harbour up_the_mountain
    from_the_balcony on_the_left beside_the_lamp across_the_road below_the_roof out_of_the_box
    with_both_hands without_a_map for_a_while for_my_brother about_five_miles_away in_Vancouver
""")
TIMES = _words("""
    today tomorrow yesterday now soon later again once twice every_morning on_Monday on_Friday
    this_evening last_September in_November in_the_summer before_breakfast after_supper at_noon
    at_half_past_five a_week_ago a_moment_ago for_the_first_time all_the_time in_a_few_weeks
""")
ADVERBS = _words("""
    probably maybe perhaps obviously apparently of_course in_my_opinion to_be_honest by_the_way
    actually basically above_all for_example however unfortunately surprisingly as_far_as_I_know
""")
LINKS = _words("and but because so while whenever although before after if unless until since")
REPLIES = _words("""
    yes no maybe okay right sure hello goodbye thanks please sorry wow oh well hmm mm-hmm uh-huh
    of_course not_at_all I_see good_point why_not me_too never_mind go_on one_moment_please
    thank_you_very_much that_is_fine what_do_you_mean how_are_you nice_to_meet_you absolutely
    I_beg_your_pardon see_you_tomorrow welcome_back no_problem wait_a_minute excuse_me bravo
""")

# For pseudo-words: what English spells at the beginning, the middle and the end of a syllable.
ONSETS = _words("""
    b p m f v w b p m f v w bl br pl pr fl fr t d k g n s z l r h j y sh ch th st str sp spl spr
    sm sn sk scr sw tr dr kr gr kl gl tw dw qu thr shr wh
""")
NUCLEI = _words("a e i o u a e i o u ee oo ai ay ou ow oy oi au aw ea oa ar er or ir ur y igh")
CODAS = _words("""
    b p m f v t d k g n s z l th sh ch ng mp mb nt nd nk st sk sp ft lp lm lf lt ld rp rm rb rf
    rt rd rk rn ps ms bs ves pt ct nch dge tch x
""")
