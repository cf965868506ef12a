// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The XDP program's object, opened: of its two builds the one that this kernel takes.
#pragma once

#include <memory>
#include <string>

#include <anycast_xdp/abi.h>

#include "kernel/sizes.h"

struct bpf_map;
struct bpf_object;
struct bpf_program;

namespace anycast {

struct LoadOptions;

ax_samples samples_by(const LoadOptions &options);

// Is it the build for kernels before 5.6 (bpf/legacy.h)?
bool needs_legacy_build();

// What we call a map of the program: that which is a variable (bpf/maps.h) goes by its section's
// name in libbpf. "": not one of ours, but libbpf's for other variables.
std::string name_of(const bpf_map *map);

class ProgramObject {
public:
	ProgramObject() = default;
	// With the read-only switches set; nothing is loaded yet. False: errno says why.
	bool open(const LoadOptions &options, const DataplaneSizes &sizes);
	int load(); // 0, or -errno

	[[nodiscard]] bpf_object *object() const { return object_; }
	[[nodiscard]] bpf_map *map(const std::string &name) const; // null: there is none
	[[nodiscard]] bpf_program *program() const { return program_; }

private:
	std::shared_ptr<void> skeleton_; // of either build
	int (*load_)(void *skeleton) = nullptr;
	bpf_object *object_ = nullptr;
	bpf_program *program_ = nullptr;
};

} // namespace anycast
