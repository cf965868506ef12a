// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One BPF map. Arrays are read and written through a memory mapping where the map has one, by
// batches where the kernel has those, and element by element elsewhere; the caller cannot tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <linux/bpf.h>

#include "util/fd.h"
#include "util/result.h"

namespace anycast {

class Map {
public:
	Map() = default;
	static Result<Map> open_pinned(const std::string &path);
	static Result<Map> from_fd(int fd); // duplicates it

	[[nodiscard]] int fd() const { return fd_.get(); }
	[[nodiscard]] const std::string &name() const { return name_; }
	[[nodiscard]] bpf_map_type type() const { return type_; }
	[[nodiscard]] std::uint32_t key_size() const { return key_size_; }
	[[nodiscard]] std::uint32_t value_size() const { return value_size_; }
	[[nodiscard]] std::uint32_t max_entries() const { return max_entries_; }
	[[nodiscard]] std::uint32_t flags() const { return flags_; }
	[[nodiscard]] std::uint32_t btf_id() const { return btf_id_; }
	[[nodiscard]] std::uint32_t btf_value_type_id() const { return btf_value_; }

	// Whole array, or nullptr where the map or the kernel has no mapping. Read-only where the
	// pin is.
	[[nodiscard]] std::byte *mapped() const { return mapped_.get(); }
	[[nodiscard]] bool writable() const { return writable_; } // through mapped()
	// What the kernel accounts for this map, in bytes; 0 where it does not say.
	[[nodiscard]] std::uint64_t memory() const;

	Status update(const void *key, const void *value, std::uint64_t flags = BPF_ANY);
	// false: no such key
	Result<bool> lookup(const void *key, void *value, std::uint64_t flags = 0) const;
	Status erase(const void *key); // absent key: not an error
	Status erase_all();	       // of a hash
	// For each key of a hash; `visit` must not change the map.
	// BPF_F_LOCK: each value is whole, of maps whose values have a lock.
	Status
	for_each(const std::function<void(const std::byte *key, const std::byte *value)> &visit,
		 std::uint64_t flags = 0) const;

	// Arrays: elements [first, first + count), value_size() bytes each.
	Status write(std::uint32_t first, std::span<const std::byte> values);
	Status read(std::uint32_t first, std::span<std::byte> values) const;

	// Per-CPU arrays: the sum over all CPUs of the value's 64-bit words; and all CPUs set to 0.
	Result<std::vector<std::uint64_t>> sum(std::uint32_t index) const;
	Status clear(std::uint32_t index);

	template <typename T> Status write_at(std::uint32_t first, std::span<const T> values)
	{
		return write(first, std::as_bytes(values));
	}
	template <typename T> Status read_at(std::uint32_t first, std::span<T> values) const
	{
		return read(first, std::as_writable_bytes(values));
	}

private:
	struct Unmap {
		std::size_t bytes;
		void operator()(std::byte *memory) const;
	};

	Status fill_info();
	Status for_each_batch(
		const std::function<void(const std::byte *key, const std::byte *value)> &visit,
		std::uint64_t flags) const;

	Fd fd_;
	std::string name_;
	bpf_map_type type_ = BPF_MAP_TYPE_UNSPEC;
	std::uint32_t key_size_ = 0, value_size_ = 0, max_entries_ = 0, flags_ = 0;
	std::uint32_t btf_id_ = 0, btf_value_ = 0;
	std::unique_ptr<std::byte, Unmap> mapped_;
	bool writable_ = false; // the mapping: a pin may be readable only
};

} // namespace anycast
