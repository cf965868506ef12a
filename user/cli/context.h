// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What every command works with: where output goes, which configuration, which interfaces.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "config/config.h"
#include "core/model.h"
#include "kernel/attachment.h"
#include "render/status.h"
#include "util/result.h"

namespace anycast::cli {

// Global options, as given; empty: not given.
struct Globals {
	bool json = false;
	std::string config, pins, state, socket, device;
};

class Context {
public:
	Context(Globals globals, std::ostream &out, std::ostream &err)
		: globals_(std::move(globals)), out_(out), err_(err)
	{
	}

	[[nodiscard]] bool json() const { return globals_.json; }
	[[nodiscard]] const std::string &device() const { return globals_.device; } // --dev
	[[nodiscard]] std::ostream &out() const { return out_; }

	void print(const std::string &text) const { out_ << text; }
	void print(const nlohmann::ordered_json &json) const;	   // indented
	void print_line(const nlohmann::ordered_json &json) const; // one line, for streams
	void warn(std::string_view text) const;
	void warn(std::string_view device, std::string_view text) const; // names the device once
	void note(std::string_view text) const;

	// --config, else the default path.
	[[nodiscard]] std::string config_path() const;
	// Reads and checks it; warnings go to stderr.
	Result<Config> load(const std::string &path) const;

	// Command line, then environment (CLI11 has merged them), then [paths], then the default.
	[[nodiscard]] Paths paths_with(const Config &config) const;
	// For commands that need no configuration: [paths] of --config, or of the default file if
	// there is one. A broken default file is no obstacle.
	Result<Paths> paths() const;

	// --dev, or all attached interfaces; an error if there are none.
	Result<std::vector<std::string>> devices(const Paths &paths) const;
	Result<std::vector<Instance>> instances() const;

private:
	Globals globals_;
	std::ostream &out_, &err_;
};

using Action = std::function<Status(const Context &)>;

// The kernel's view and the maps' sizes, as render/ takes them.
render::Hook hook_of(const Attached &attached);
render::Memory memory_of(const DataplaneSizes &sizes);

} // namespace anycast::cli
