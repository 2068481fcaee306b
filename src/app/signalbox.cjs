#!/usr/bin/env node
// biome-ignore-all lint: old syntax on purpose, see below
'use strict'
// The way in. Written in the syntax of old Nodes, so that one of them can run this file and hand over to the Node that npm has
// installed beside the package, or say in one line what is needed.
var path = require('path')
var fs = require('fs')

var NEEDED = '24.15'
/** Set for the process handed over to: a pinned Node that is itself too old must not hand over again. */
var HANDED_OVER = 'SIGNALBOX_HANDED_OVER'

/** Whether a version such as `v24.15.0` is at least `24.15`. */
function isRecent(version, needed) {
  var a = version.replace(/^v/, '').split('.').map(Number)
  var b = needed.split('.').map(Number)
  for (var i = 0; i < b.length; i++) if (a[i] !== b[i]) return a[i] > b[i]
  return true
}

/** The Node npm installed: beside this package, or beside the packages this one was installed among. */
function pinnedNode(packageRoot, exists) {
  var beside = path.join(packageRoot, 'node_modules', '.bin', 'node')
  var among = path.join(packageRoot, '..', '.bin', 'node')
  return [beside, among].filter(exists)[0]
}

/** Runs the same command on another Node. Its exit code, or the signal that ended it, is ours. */
function handOver(node) {
  var env = Object.assign({}, process.env)
  env[HANDED_OVER] = '1'
  var args = [__filename].concat(process.argv.slice(2))
  var child = require('child_process').spawn(node, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env: env })
  // Nothing is said on the channel. Its end tells the child that this process is gone, however it ended.
  // A terminal sends its signals to both processes already; a second one would cut the child's shutdown short.
  var pass = function (signal) {
    if (signal === 'SIGTERM' || !process.stdin.isTTY) child.kill(signal)
  }
  var signals = ['SIGTERM', 'SIGINT', 'SIGHUP']
  signals.forEach(function (s) {
    process.on(s, pass)
  })
  child.on('error', function (e) {
    fail('cannot run ' + node + ': ' + e.message)
  })
  child.on('exit', function (code, signal) {
    if (signal === null) process.exit(code)
    signals.forEach(function (s) {
      process.removeListener(s, pass)
    })
    process.kill(process.pid, signal)
  })
}

function fail(message) {
  console.error('signalbox: ' + message)
  process.exit(1)
}

/** Ends as by the signal: nothing is begun yet that would have to be ended in order. */
function leave(signal) {
  process.exit(128 + require('os').constants.signals[signal])
}

function main() {
  if (!isRecent(process.version, NEEDED)) {
    var node = process.env[HANDED_OVER] ? undefined : pinnedNode(path.join(__dirname, '..', '..'), fs.existsSync)
    if (node) return handOver(node)
    var needed = 'Node ' + NEEDED + ' or newer is needed, this is ' + process.version
    return fail(needed + '; on Linux, npm ci brings one along')
  }
  // Process 1, as in a container, is ended by no signal that it does not listen to. Any other is ended at once, also in the middle of
  // a backup, which hears nothing until it is done. A gateway that listens hears them itself.
  if (process.pid === 1) {
    process.on('SIGTERM', leave)
    process.on('SIGINT', leave)
  }
  // Worker threads look for the cache by this variable only; without it each keeps a compiler in memory (45 MiB, 200 ms).
  var cache = require('module').enableCompileCache()
  if (cache.directory && !process.env.NODE_COMPILE_CACHE) process.env.NODE_COMPILE_CACHE = cache.directory
  var args = process.argv.slice(2)
  var finish = function (code) {
    process.exitCode = code
  }
  require('./cli.ts').main(args).then(finish)
}

module.exports = { isRecent: isRecent, pinnedNode: pinnedNode }
if (require.main === module) main()
