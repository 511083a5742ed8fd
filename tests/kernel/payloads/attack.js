// attack.py in JavaScript: node attack.js WANTED ANSWER.
const child = require("child_process"), fs = require("fs"), net = require("net"), os = require("os"), path = require("path");

const attempts = {
  read: (file) => fs.closeSync(fs.openSync(file)),
  environment: (name) => {
    if (name in process.env) return;
    for (const pid of fs.readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
      try {
        if (fs.readFileSync(`/proc/${pid}/environ`, "latin1").includes(name)) return;
      } catch {}
    }
    throw Object.assign(new Error("in no environment"), { code: "ENOENT" });
  },
  connect: ([address, port]) =>
    new Promise((resolve, reject) => {
      const socket = net.connect({ host: address, port, timeout: 2000 });
      socket.on("connect", () => resolve(socket.destroy()));
      socket.on("timeout", () => socket.destroy(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })));
      socket.on("error", reject);
    }),
  write: (directory) => {
    const file = path.join(directory.replace(/^~/, os.homedir()), ".attack");
    fs.writeFileSync(file, "was here");
    fs.unlinkSync(file);
  },
  execute: (directory) => {
    const program = path.join(directory, "attack-true");
    try {
      fs.copyFileSync("/bin/true", program);
      child.execFileSync(program);
    } finally {
      fs.rmSync(program, { force: true });
    }
  },
};

(async () => {
  const found = {};
  for (const [name, targets] of Object.entries(JSON.parse(fs.readFileSync(process.argv[2])))) {
    for (const target of targets) {
      try {
        await attempts[name](target);
        found[`${name} ${target}`] = "reached";
      } catch (error) {
        found[`${name} ${target}`] = error.code || String(error);
      }
    }
  }
  fs.writeFileSync(process.argv[3], JSON.stringify(found));
})();
