// Passphrases of six random words. The words are 1,024 of the EFF's large
// wordlist (https://www.eff.org/dice, CC BY 3.0): four or five letters long, and
// told apart by the first four. Each word is worth 10 bits.

const words = `
  abide able acid acorn acts afar affix afoot agent agile aging ahead ahoy aide aids alarm
  album alias alike alive aloe aloft alone aloof alto amaze amid amigo amino among ample amuck
  anew anime ankle annex anvil aorta apple april aptly aqua area arena arise armed army arose
  array arson ashen aside askew atlas atop attic audio avert avoid await award awoke axis bacon
  badge bagel baggy baked balmy barge barn bash batch bath baton bats blah blame blank blast
  bleep blend bless bling blip blitz blob blot bluff blunt blush boat body bogus bolt boned
  bonus bony booth boozy borax botch both boxer boxy bribe brick bride bring brook brunt brush
  buddy buggy bulb bulk bully bunch bunny bush bust buzz cable cacti caddy cadet cake calm
  cameo canal cane canon cape cargo carol carry carve cash catty cause cedar chain chant chaos
  charm chase cheek chef chess chevy chewy chili chimp chip chive chop chuck chug chump churn
  chute cider city civic clad claim clang clash claw clean cleft clerk cling cloak clock clone
  cloud coach coat cocoa coke cola cold colt come comfy comic conch cone cope copy cork
  corny cost couch could cover cozy crane crate crave crazy creme crepe crib crimp croak crock
  crook cross crowd crumb crux cube cupid cure curry curse curve cushy cycle daily dairy dance
  dandy dares darn dash data dawn dean debit debug decaf decoy deed deem defog deity delay
  delta dense deny depth derby dial diary dice dime dimly diner dingo disk ditch ditto ditzy
  dock dodge doily dole dolly donor donut dork dose dove dowry doze drab drank dress drew
  dried drift drool drove drown ducky duct dude duke dupe dusk dust duvet dwarf dweeb each
  early easel eaten eats ebony ebook ecard edge edgy eject elbow elope elude elves ember emcee
  emit emote ended envoy envy equal error erupt essay evade even evict evil exact exert exes
  exit expel fable fade false fame fancy feast feed feel femur ferry fetal fetch fever fifth
  film filth finer five flail flaky flap flask fled flier fling flip flirt flock flop floss
  flyer foil folic folk food fool foyer frail frays fresh fried frisk from front froth fruit
  gaffe gains gala gamma gauze gave gear gecko geek genre getup giant giddy gills given gizmo
  glade glass glory gloss glove gnat goal goes golf gonad gone gong gooey goofy goon gory
  gout gown grab grant grape grasp gravy green grew grid grill grime grip grit groom grope
  grout growl grub grunt guide gulf gully gulp guru gush gusto guts half halt hanky happy
  harsh hash haste haunt haven hazy heap heave hedge hefty henna herbs hertz huff hulk hull
  human humid hurry hurt hush icky icon idiom idly image imply ipad irate iron issue item
  jaunt java jawed jaws jeep jelly jiffy jinx john jolly jolt judo juice july jump june
  juror jury karma kebab keep kelp kick kiln kilt kite kitty kiwi knee knoll koala kooky
  kung ladle lair lake lanky lapel lard large lash lasso last late lazy left legal lemon
  lend lens level life lilac lilly limb limes limit lingo lint lion lisp lived lucid lunar
  lung lure lurk lusty macaw mace magma maker mama mango manly many march mardi marry mauve
  maybe mocha molar moody morse mossy motor motto mouse mouth movie mower much mulch mule mumbo
  mummy mural murky mushy music musty mute mutt nacho nail name nanny nappy navy neon nervy
  nest never next nifty ninja ninth nutty oasis oboe ocean oink okay olive omega omit onion
  only onto onyx oops ooze opal open opium other ouch ought ounce oval ovary oven ozone
  pagan pager palm pang panic pants paper party pasta path paver payee pecan pelt perch perky
  perm pesky petal petri petty photo plank plaza pleat plop plot plow pluck plug plus poach
  poet pogo poise poker polio polka polo pony pope poppy pork posh pouch pound power press
  pried primp prior prism prize probe props proud proxy prune pull pulp pulse punch punk pupil
  purge purr purse pushy quack quail quake qualm quiet quill quirk quote rabid race rack radio
  raft rage rally ramp ranch rants rash raven reach ream rehab relax relic remix reply reps
  rerun retry reuse rhyme ride rift rigid rigor rink rinse riot rise ritzy rival roast robin
  rocky rogue roman rope rosy rover ruby rule rumor runny rural ruse rush sadly saga sage
  saggy saint sake salad salon salt same sandy santa sappy sash sassy saucy sauna saved scale
  scam scant scarf scoff scone scoop scope scrap scuba scuff self send sepia serve shack shady
  shaft shale shame shank shape shawl shed sheep shelf ship shirt shock shore shout shove shown
  shun shush shut silk silly silo silt sixth size skid skied skype slab slain slang slate
  slaw sled slept slick slimy slit slot slug slum slush small smell smile smite smock smog
  snack snap snare sneak snide sniff snore snowy snub snuff speak spent spew spied spiny spoof
  spore spout spree sprig spry spud squad squid stack stage stamp stand stark state stays steam
  stem step stew stick stir stock stoic stoke stomp stony stood stout stove straw strep stuck
  study stump suave such suds sugar sulk sushi swab swan sway swear sweep swept swipe swirl
  swoop swung syrup tabby taco take tall talon tank taps tarot task taunt thank that thee
  theft theme these thing thong thorn thud thumb thus tiara tidal tidy tiger tile tilt timid
  tint trace trade train traps tray treat tree trial tried trio trout trump truth tubby tummy
  turf tusk tutor tweak tweed twerp twice twine twirl tying udder ultra uncle uncut union unit
  unlit unwed unzip upon upper usage used user usher utter valid value vegan venue verse very
  veto vibes vice viper viral virus visa vista vixen voice void vowed wafer waged wake walk
  waltz wand watch water wavy wharf wheat whiff whiny wick widen widow width wifi wilt wimp
  wind wing wipe wired wise wish wispy womb woof wool woozy work worry worst wound wrath
  wrist xbox yahoo yard yarn yeah yelp yield yodel yoyo yummy zebra zero zippy zips zone
`.trim().split(/\s+/);

/** passphrase returns six random words with hyphens between them: 60 random bits. */
export function passphrase(): string {
  const random = crypto.getRandomValues(new Uint16Array(6));
  return Array.from(random, (n) => words[n % words.length]).join("-"); // 1,024 divides 65,536: no bias
}
