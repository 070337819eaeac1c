// SPDX-License-Identifier: Apache-2.0
// A job type for Flamenco 3: one shot, split at its key frames over as many workers as there are (docs/farm.md).
// Put this file into the folder `scripts` beside flamenco-manager, and tell Flamenco where the engine's program is:
//
//   variables:                       (in flamenco-manager.yaml)
//     matanyone:
//       values:
//         - platform: linux
//           value: /opt/matanyone/bin/matanyone-engine

const JOB_TYPE = {
    label: "MatAnyone Matte",
    description: "Mattes a shot from a job file, as Blender's and Nuke's MatAnyone panels and the command line save one.",
    settings: [
        {
            key: "job_file",
            type: "string",
            subtype: "file_path",
            required: true,
            description: "The job file (.json), on storage that every worker sees under the same name",
        },
        {
            key: "segments",
            type: "int32",
            default: 3,
            propargs: { min: 1, max: 1000 },
            description: "At most so many workers. Where the masks allow fewer, the tasks left over have nothing to do",
        },
        {
            key: "split",
            type: "bool",
            default: false,
            description: "Also cut between masks. Otherwise the shot is cut at its masks alone, and the alphas are those of one run",
        },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    const plan = planOf(settings.job_file);
    const cuts = settings.split ? "--split" : "--at-keys";

    const planning = task("plan", ["plan", "--segments", String(settings.segments), cuts, "--", settings.job_file]);
    // A plan with --split runs this before its segments; of another plan there is nothing to do.
    const scout = task("scout", ["run", "--scout", "--", plan], [planning]);
    const segments = [];
    for (let number = 1; number <= settings.segments; number++) {
        segments.push(task("segment-" + number, ["run", "--segment", String(number), "--", plan], [scout]));
    }
    const merge = task("merge", ["merge", "--", plan], segments);
    for (const each of [planning, scout].concat(segments, [merge])) {
        job.addTask(each);
    }
}

// The file that the first task writes: sh010.json -> sh010.plan.json.
function planOf(jobFile) {
    if (!/\.json$/.test(jobFile)) {
        throw new Error("expected a job file, whose name ends in .json; got " + jobFile);
    }
    return jobFile.replace(/\.json$/, ".plan.json");
}

// One call of the engine's program, which begins when the tasks that it waits for are done.
function task(name, words, waitsFor) {
    const made = author.Task(name, "misc");
    made.addCommand(author.Command("exec", { exe: "{matanyone}", args: words }));
    for (const each of waitsFor || []) {
        made.addDependency(each);
    }
    return made;
}
