"""Some sixty common words of each of the other languages; written for this project.

Keys are espeak-ng's names of the languages.
"""

from __future__ import annotations

HELD_OUT_LANGUAGES: tuple[str, ...] = ("es", "pl")
"""Never heard in training: for evaluation only."""

LANGUAGES: dict[str, tuple[str, ...]] = {
    name: tuple(text.split())
    for name, text in {
        "es": """casa perro gato agua pan vino leche hombre mujer niño madre padre hermano amigo
            ciudad pueblo calle puerta ventana mesa libro papel palabra nombre tiempo mañana noche
            día semana año verano invierno lluvia viento mar playa montaña río árbol flor bueno
            malo grande pequeño nuevo viejo blanco negro rojo verde hablar comer beber vivir venir
            querer poder abrir también siempre nunca hoy aquí pero porque muy más jamón huevo
            guitarra""",
        "pl": """dom pies kot woda chleb wino mleko mężczyzna kobieta dziecko matka ojciec brat
            przyjaciel miasto wieś ulica drzwi okno stół książka papier słowo imię czas rano noc
            dzień tydzień rok lato zima deszcz wiatr morze plaża góra rzeka drzewo kwiat dobry zły
            duży mały nowy stary biały czarny czerwony zielony mówić jeść pić żyć przyjść chcieć
            móc otworzyć także zawsze nigdy dzisiaj tutaj ale ponieważ bardzo więcej jabłko""",
        "fr": """maison chien chat eau pain vin lait homme femme enfant mère père frère ami ville
            village rue porte fenêtre table livre papier mot nom temps matin nuit jour semaine année
            été hiver pluie vent mer plage montagne rivière arbre fleur bon mauvais grand petit
            nouveau vieux blanc noir rouge vert parler manger boire vivre venir vouloir pouvoir
            ouvrir aussi toujours jamais aujourd'hui ici mais parce que très plus pomme bijou
            deux feu lune""",
        "de": """Haus Hund Katze Wasser Brot Wein Milch Mann Frau Kind Mutter Vater Bruder Freund
            Stadt Dorf Straße Tür Fenster Tisch Buch Papier Wort Name Zeit Morgen Nacht Tag Woche
            Jahr Sommer Winter Regen Wind Meer Strand Berg Fluss Baum Blume gut schlecht groß klein
            neu alt weiß schwarz rot grün sprechen essen trinken leben kommen wollen können öffnen
            auch immer niemals heute hier aber weil sehr mehr Apfel pfeifen schön müde Bäume""",
        "it": """casa cane gatto acqua pane vino latte uomo donna bambino madre padre fratello amico
            città paese strada porta finestra tavolo libro carta parola nome tempo mattina notte
            giorno settimana anno estate inverno pioggia vento mare spiaggia montagna fiume albero
            fiore buono cattivo grande piccolo nuovo vecchio bianco nero rosso verde parlare
            mangiare bere vivere venire volere potere aprire anche sempre mai oggi qui ma perché
            molto più mela famiglia gnocchi""",
        "ca": """casa gos gat aigua pa vi llet home dona nen mare pare germà amic ciutat poble
            carrer porta finestra taula llibre paper paraula nom temps matí nit dia setmana any
            estiu hivern pluja vent mar platja muntanya riu arbre flor bo dolent gran petit nou
            vell blanc negre vermell verd parlar menjar beure viure venir voler poder obrir també
            sempre mai avui aquí però perquè molt més poma feina boca""",
        "pt-br": """casa cachorro gato água pão vinho leite homem mulher criança mãe pai irmão amigo
            cidade vila rua porta janela mesa livro papel palavra nome tempo manhã noite dia semana
            ano verão inverno chuva vento mar praia montanha rio árvore flor bom mau grande pequeno
            novo velho branco preto vermelho verde falar comer beber viver vir querer poder abrir
            também sempre nunca hoje aqui mas porque muito mais maçã coração banho""",
        "nl": """huis hond kat water brood wijn melk man vrouw kind moeder vader broer vriend stad
            dorp straat deur raam tafel boek papier woord naam tijd morgen nacht dag week jaar zomer
            winter regen wind zee strand berg rivier boom bloem goed slecht groot klein nieuw oud
            wit zwart rood groen praten eten drinken leven komen willen kunnen openen ook altijd
            nooit vandaag hier maar omdat erg meer appel bij vuur leuk""",
        "cs": """dům pes kočka voda chléb víno mléko muž žena dítě matka otec bratr přítel město
            vesnice ulice dveře okno stůl kniha papír slovo jméno čas ráno noc den týden rok léto
            zima déšť vítr moře pláž hora řeka strom květ dobrý špatný velký malý nový starý bílý
            černý červený zelený mluvit jíst pít žít přijít chtít moci otevřít také vždy nikdy dnes
            tady ale protože velmi více jablko""",
        "tr": """ev köpek kedi su ekmek şarap süt adam kadın çocuk anne baba kardeş arkadaş şehir
            köy sokak kapı pencere masa kitap kağıt kelime isim zaman sabah gece gün hafta yıl yaz
            kış yağmur rüzgar deniz plaj dağ nehir ağaç çiçek iyi kötü büyük küçük yeni eski beyaz
            siyah kırmızı yeşil konuşmak yemek içmek yaşamak gelmek istemek açmak da her zaman asla
            bugün burada ama çünkü çok elma""",
        "fi": """talo koira kissa vesi leipä viini maito mies nainen lapsi äiti isä veli ystävä
            kaupunki kylä katu ovi ikkuna pöytä kirja paperi sana nimi aika aamu yö päivä viikko
            vuosi kesä talvi sade tuuli meri ranta vuori joki puu kukka hyvä huono iso pieni uusi
            vanha valkoinen musta punainen vihreä puhua syödä juoda elää tulla haluta voida avata
            myös aina koskaan tänään täällä mutta koska hyvin enemmän omena""",
        "hi": """घर कुत्ता बिल्ली पानी रोटी दूध आदमी औरत बच्चा माँ पिता भाई दोस्त शहर गाँव सड़क दरवाज़ा
            खिड़की मेज़ किताब कागज़ शब्द नाम समय सुबह रात दिन हफ़्ता साल गर्मी सर्दी बारिश हवा समुद्र पहाड़
            नदी पेड़ फूल अच्छा बुरा बड़ा छोटा नया पुराना सफ़ेद काला लाल हरा बोलना खाना पीना आना चाहना
            खोलना भी हमेशा कभी आज यहाँ लेकिन क्योंकि बहुत सेब भाषा मेरा""",
        "id": """rumah anjing kucing air roti anggur susu pria wanita anak ibu ayah saudara teman
            kota desa jalan pintu jendela meja buku kertas kata nama waktu pagi malam hari minggu
            tahun panas dingin hujan angin laut pantai gunung sungai pohon bunga baik buruk besar
            kecil baru tua putih hitam merah hijau berbicara makan minum hidup datang mau bisa
            membuka juga selalu tidak pernah sekarang sini tetapi karena sangat lebih apel""",
        "ru": """дом собака кошка вода хлеб вино молоко мужчина женщина ребёнок мать отец брат друг
            город деревня улица дверь окно стол книга бумага слово имя время утро ночь день неделя
            год лето зима дождь ветер море пляж гора река дерево цветок хороший плохой большой
            маленький новый старый белый чёрный красный зелёный говорить есть пить жить прийти
            хотеть мочь открыть также всегда никогда сегодня здесь но потому очень больше яблоко""",
        "cmn-latn-pinyin": """fang2zi5 gou3 mao1 shui3 mian4bao1 jiu3 niu2nai3 nan2ren2 nü3ren2
            hai2zi5 ma1ma5 ba4ba5 ge1ge5 peng2you3 cheng2shi4 cun1zi5 ma3lu4 men2 chuang1hu4
            zhuo1zi5 shu1 zhi3 ming2zi5 shi2jian1 zao3shang5 wan3shang5 jin1tian1 ming2tian1
            xing1qi1 nian2 xia4tian1 dong1tian1 xia4yu3 feng1 da4hai3 shan1 he2 shu4 hua1 hao3
            bu4hao3 da4 xiao3 xin1 lao3 bai2 hei1 hong2 lü4 shuo1hua4 chi1fan4 he1cha2 sheng1huo2
            lai2 xiang3 ke3yi3 da3kai1 ye3 zong3shi4 zhe4li3 dan4shi4 yin1wei4 fei1chang2
            ping2guo3 fei1ji1 bei3jing1""",
    }.items()
}

TRAINING_LANGUAGES: tuple[str, ...] = tuple(
    name for name in LANGUAGES if name not in HELD_OUT_LANGUAGES
)
