import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Command, CommanderError } from "commander";
import { RecordingIo } from "./fake-member.test-support.ts";
import { runProgram } from "./program.ts";
import { usageSentence } from "./usage.ts";

describe("what is wrong with the arguments is said in one sentence", () => {
  const cases: readonly (readonly [readonly string[], string])[] = [
    [["lease", "grant", "0"], "The argument <ttl> is 0, but it must be a whole number from 1."],
    [["lease", "grant", ""], "The argument <ttl> is empty, but it must be a whole number from 1."],
    [["lease", "grant", "a\nb"], "The argument <ttl> is a\\nb, but it must be a whole number from 1."],
    [
      ["lease", "revoke", "it's"],
      "The argument <id> is it's, but it must be the id of a lease: an integer of 64 bits other than 0.",
    ],
    [["lease", "grant"], "The argument <ttl> is missing; see coracle lease grant --help."],
    [["lock", "a", "--ttl", "0"], "--ttl is 0, but it must be a whole number from 1 to 86400."],
    [["get", "k", "-o", "xml"], "--output is xml, but it must be json or table."],
    [["dev", "--members", "2"], "--members is 2, but it must be 1, 3 or 5."],
    [["get", "k", "-o"], "--output has no value; write --output <form>."],
    [["list", "--limit"], "--limit has no value; write --limit <keys>."],
    [["get", "k", "--xyzzy"], "There is no option --xyzzy; see coracle get --help."],
    [["del", "k", "--prefx"], "There is no option --prefx; did you mean --prefix?"],
    [["put", "k", "-five"], "There is no option -five; write -- before an argument that begins with a dash."],
    [["--xyzzy"], "There is no option --xyzzy; see coracle --help."],
    [["xyzzy"], 'There is no command "xyzzy"; see coracle --help.'],
    [["member", "lst"], 'There is no command "member lst"; did you mean list?'],
    [["member", "xyzzy"], 'There is no command "member xyzzy"; see coracle member --help.'],
    [
      ["put", "k", "two", "words"],
      "coracle put takes at most 2 arguments, but 3 were given; quote one that has spaces.",
    ],
    [
      ["lease", "revoke", "1", "2"],
      "coracle lease revoke takes at most 1 argument, but 2 were given; quote one that has spaces.",
    ],
    [["status", "now"], "coracle status takes no argument, but 1 was given."],
  ];
  for (const [args, sentence] of cases) {
    test(args.join(" ").replaceAll("\n", " "), async () => {
      const io = new RecordingIo();
      assert.equal(await runProgram(args, io), 2);
      assert.equal(io.errors, `coracle: ${sentence}\n`);
    });
  }
});

test("what the library says in a way that is not known here is still one line", () => {
  const error = new CommanderError(1, "commander.new", "error: something\n  new");
  assert.equal(usageSentence(error, new Command(), []), "something new.");
});
