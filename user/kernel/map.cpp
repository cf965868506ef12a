// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/map.h"

#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <numeric>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>

#include "kernel/features.h"

namespace anycast {

namespace {

constexpr std::uint32_t kBatch = 4096;

std::size_t round_up8(std::size_t bytes)
{
	return (bytes + 7) & ~std::size_t{7};
}

bool is_per_cpu(bpf_map_type type)
{
	return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH;
}

Error call_failed(const std::string &map, const char *call, int error)
{
	return fail_errno(fmt::format("map {}: {}", map, call), error).value();
}

} // namespace

Result<Map> Map::open_pinned(const std::string &path)
{
	int fd = bpf_obj_get(path.c_str());

	// A pin that a group may read, but not write (docs/operations.md).
	if (fd == -EACCES) {
		LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = BPF_F_RDONLY);
		fd = bpf_obj_get_opts(path.c_str(), &options);
	}
	if (fd < 0)
		return fail_errno(fmt::format("open pinned map {}", path), fd,
				  fd == -EPERM ? "root or CAP_BPF is needed" : "");

	Map map;
	map.fd_ = Fd(fd);
	AX_TRY(map.fill_info());
	return map;
}

Result<Map> Map::from_fd(int fd)
{
	Map map;

	map.fd_ = Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
	if (!map.fd_.valid())
		return fail_errno("duplicate a map's descriptor", errno);
	AX_TRY(map.fill_info());
	return map;
}

void Map::Unmap::operator()(std::byte *memory) const
{
	::munmap(memory, bytes);
}

Status Map::fill_info()
{
	bpf_map_info info{};
	std::uint32_t length = sizeof(info);

	if (int error = bpf_obj_get_info_by_fd(fd_.get(), &info, &length))
		return fail_errno("ask the kernel about a map", error);
	name_ = info.name;
	name_.erase(0, name_.rfind('.') + 1); // of a variable (bpf/maps.h): its section's, before
	type_ = static_cast<bpf_map_type>(info.type);
	key_size_ = info.key_size;
	value_size_ = info.value_size;
	max_entries_ = info.max_entries;
	flags_ = info.map_flags;
	btf_id_ = info.btf_id;
	btf_value_ = info.btf_value_type_id;

	if (type_ != BPF_MAP_TYPE_ARRAY || !(flags_ & BPF_F_MMAPABLE) || !has_feature("mmap_array"))
		return {};
	const std::size_t bytes = round_up8(value_size_) * max_entries_;
	void *memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
	writable_ = memory != MAP_FAILED;
	if (!writable_)
		memory = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd_.get(), 0);
	if (memory == MAP_FAILED)
		return {}; // system calls serve as well
	mapped_ = std::unique_ptr<std::byte, Unmap>(static_cast<std::byte *>(memory), Unmap{bytes});
	return {};
}

Status Map::update(const void *key, const void *value, std::uint64_t flags)
{
	int error = bpf_map_update_elem(fd_.get(), key, value, flags);

	if (error == -E2BIG)
		return fail(Exit::kFailed,
			    fmt::format("map {} is full: {} entries", name_, max_entries_),
			    "raise the matching figure under [limits]");
	if (error)
		return tl::unexpected(call_failed(name_, "update", error));
	return {};
}

Result<bool> Map::lookup(const void *key, void *value, std::uint64_t flags) const
{
	int error = bpf_map_lookup_elem_flags(fd_.get(), key, value, flags);

	if (error == -ENOENT)
		return false;
	if (error)
		return tl::unexpected(call_failed(name_, "look-up", error));
	return true;
}

Status Map::erase(const void *key)
{
	int error = bpf_map_delete_elem(fd_.get(), key);

	if (error && error != -ENOENT)
		return tl::unexpected(call_failed(name_, "delete", error));
	return {};
}

Status Map::erase_all()
{
	std::vector<std::byte> keys;

	AX_TRY(for_each([&](const std::byte *key, const std::byte *) {
		keys.insert(keys.end(), key, key + key_size_);
	}));
	for (std::size_t at = 0; at < keys.size(); at += key_size_)
		AX_TRY(erase(keys.data() + at));
	return {};
}

Status Map::for_each(const std::function<void(const std::byte *key, const std::byte *value)> &visit,
		     std::uint64_t flags) const
{
	if ((type_ == BPF_MAP_TYPE_HASH || type_ == BPF_MAP_TYPE_LRU_HASH) &&
	    has_feature("batch_ops"))
		return for_each_batch(visit, flags);
	const int cpus = is_per_cpu(type_) ? libbpf_num_possible_cpus() : 1;
	std::vector<std::byte> key(key_size_), next(key_size_);
	std::vector<std::byte> value(round_up8(value_size_) * static_cast<std::size_t>(cpus));
	int error = bpf_map_get_next_key(fd_.get(), nullptr, next.data());

	// A key that vanishes under the walk makes the kernel start over: bound it.
	for (std::uint64_t steps = 0; !error && steps < 2ULL * max_entries_; ++steps) {
		key.swap(next);
		auto found = lookup(key.data(), value.data(), flags);
		if (!found)
			return tl::unexpected(std::move(found.error()));
		if (*found)
			visit(key.data(), value.data());
		error = bpf_map_get_next_key(fd_.get(), key.data(), next.data());
	}
	if (error && error != -ENOENT)
		return tl::unexpected(call_failed(name_, "walk", error));
	return {};
}

// Bucket by bucket: whatever changes meanwhile, no key is visited twice.
Status
Map::for_each_batch(const std::function<void(const std::byte *key, const std::byte *value)> &visit,
		    std::uint64_t flags) const
{
	std::uint32_t room = std::min(kBatch, max_entries_), position = 0;
	std::vector<std::byte> keys, values;
	LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = flags);

	for (bool first = true;;) {
		std::uint32_t count = room, next = 0;
		keys.resize(std::size_t{room} * key_size_);
		values.resize(std::size_t{room} * value_size_);
		const int error =
			bpf_map_lookup_batch(fd_.get(), first ? nullptr : &position, &next,
					     keys.data(), values.data(), &count, &options);
		if (error == -ENOSPC && room < max_entries_) { // a bucket with more than that
			room = std::min(2 * room, max_entries_);
			continue;
		}
		if (error && error != -ENOENT)
			return tl::unexpected(call_failed(name_, "read a batch", error));
		for (std::uint32_t i = 0; i < count; i++)
			visit(keys.data() + std::size_t{i} * key_size_,
			      values.data() + std::size_t{i} * value_size_);
		if (error == -ENOENT)
			return {};
		position = next;
		first = false;
	}
}

Status Map::write(std::uint32_t first, std::span<const std::byte> values)
{
	const std::size_t count = values.size() / value_size_;

	if (values.size() % value_size_ || first > max_entries_ || count > max_entries_ - first)
		return fail(Exit::kFailed, fmt::format("map {}: {} elements at {} do not fit {}",
						       name_, count, first, max_entries_));
	if (mapped_ && writable_ && value_size_ % 8 == 0) {
		std::memcpy(mapped() + std::size_t{first} * value_size_, values.data(),
			    values.size());
		return {};
	}
	if (has_feature("batch_ops")) {
		std::vector<std::uint32_t> keys(std::min<std::size_t>(count, kBatch));
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		for (std::size_t done = 0; done < count;) {
			std::uint32_t n = static_cast<std::uint32_t>(
				std::min<std::size_t>(count - done, keys.size()));
			std::iota(keys.begin(), keys.end(),
				  first + static_cast<std::uint32_t>(done));
			int error = bpf_map_update_batch(fd_.get(), keys.data(),
							 values.data() + done * value_size_, &n,
							 &options);
			if (error)
				return tl::unexpected(call_failed(name_, "batch update", error));
			done += n;
		}
		return {};
	}
	for (std::size_t i = 0; i < count; ++i) {
		const std::uint32_t key = first + static_cast<std::uint32_t>(i);
		AX_TRY(update(&key, values.data() + i * value_size_));
	}
	return {};
}

Status Map::read(std::uint32_t first, std::span<std::byte> values) const
{
	const std::size_t count = values.size() / value_size_;

	if (values.size() % value_size_ || first > max_entries_ || count > max_entries_ - first)
		return fail(Exit::kFailed, fmt::format("map {}: {} elements at {} do not fit {}",
						       name_, count, first, max_entries_));
	if (mapped_ && value_size_ % 8 == 0) {
		std::memcpy(values.data(), mapped() + std::size_t{first} * value_size_,
			    values.size());
		return {};
	}
	if (has_feature("batch_ops")) {
		std::vector<std::uint32_t> keys(std::min<std::size_t>(count, kBatch));
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		for (std::size_t done = 0; done < count;) {
			std::uint32_t n = static_cast<std::uint32_t>(
				std::min<std::size_t>(count - done, keys.size()));
			// For an array a batch begins behind the key that is given; none: at 0.
			std::uint32_t before = first + static_cast<std::uint32_t>(done) - 1,
				      after = 0;
			int error = bpf_map_lookup_batch(
				fd_.get(), first + done ? &before : nullptr, &after, keys.data(),
				values.data() + done * value_size_, &n, &options);
			if ((error && error != -ENOENT) || n == 0)
				return tl::unexpected(call_failed(name_, "batch look-up", error));
			done += n;
		}
		return {};
	}
	for (std::size_t i = 0; i < count; ++i) {
		const std::uint32_t key = first + static_cast<std::uint32_t>(i);
		auto found = lookup(&key, values.data() + i * value_size_);
		if (!found)
			return tl::unexpected(std::move(found.error()));
	}
	return {};
}

Result<std::vector<std::uint64_t>> Map::sum(std::uint32_t index) const
{
	const std::size_t words = round_up8(value_size_) / 8;
	const std::size_t cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
	std::vector<std::uint64_t> all(words * cpus), total(words);

	auto found = lookup(&index, all.data());
	if (!found)
		return tl::unexpected(std::move(found.error()));
	for (std::size_t i = 0; i < all.size(); ++i)
		total[i % words] += all[i];
	return total;
}

Status Map::clear(std::uint32_t index)
{
	const std::size_t cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
	const std::vector<std::byte> zero(round_up8(value_size_) * cpus);

	return update(&index, zero.data());
}

std::uint64_t Map::memory() const
{
	std::ifstream info(fmt::format("/proc/self/fdinfo/{}", fd_.get()));
	std::string field;

	while (info >> field) {
		std::uint64_t bytes = 0;
		if (field == "memlock:" && info >> bytes)
			return bytes;
	}
	return 0;
}

} // namespace anycast
