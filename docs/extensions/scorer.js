// The order of search results. Sphinx needs all values; they are its own, except `score`: pages for users come before
// records of measurements and decisions, and a section whose title matches comes first.
const RECORDS = /^(assumptions|benchmarks|changelog|chaos|contributing|decisions|languages|sizing|soak|versions)/;
var Scorer = {
  score: ([page, , , , score, , kind]) => score - (RECORDS.test(page) ? 12 : 0) + (kind === "title" ? 5 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
