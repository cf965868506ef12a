// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/btf_dump.h"

#include <arpa/inet.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fmt/format.h>

#include <anycast_xdp/abi.h>

#include "anycast.skel.h"

#include "core/address.h"
#include "core/names.h"
#include "util/fd.h"

namespace anycast {

namespace {

using Json = nlohmann::ordered_json;
using Bytes = std::span<const std::byte>;

std::uint64_t number_in(Bytes bytes)
{
	std::uint64_t number = 0;
	std::memcpy(&number, bytes.data(), std::min(bytes.size(), sizeof(number)));
	return number;
}

std::string hex_of(Bytes bytes, const char *separator)
{
	std::string text;
	for (const std::byte byte : bytes)
		text += fmt::format("{}{:02x}", text.empty() ? "" : separator,
				    std::to_integer<int>(byte));
	return text;
}

bool is_padding(std::string_view name)
{
	return name.starts_with("pad") || name == "tail";
}

// Enumerations that abi.h keeps in a byte: by structure and field, as BTF no longer knows them.
std::string_view enumerator(std::string_view structure, std::string_view field, std::uint64_t value)
{
	if (field == "forward")
		return forward_name(static_cast<ax_forward>(value));
	if (field == "all_down")
		return all_down_name(static_cast<ax_all_down>(value));
	if (field == "state" && structure == "ax_backend")
		return state_name(static_cast<ax_backend_state>(value));
	return {};
}

class Walker {
public:
	explicit Walker(const btf *types) : types_(types) {}

	[[nodiscard]] Json decode(std::uint32_t id, Bytes bytes) const;

private:
	[[nodiscard]] Json decode_struct(const btf_type *type, Bytes bytes) const;
	[[nodiscard]] Json decode_field(std::string_view structure, std::string_view name,
					std::uint32_t id, Bytes bytes) const;
	[[nodiscard]] Json decode_array(const btf_type *type, Bytes bytes) const;
	[[nodiscard]] std::string_view name_of(const btf_type *type) const
	{
		const char *name = btf__name_by_offset(types_, type->name_off);
		return name ? name : "";
	}

	const btf *types_;
};

Json Walker::decode(std::uint32_t id, Bytes bytes) const
{
	const btf_type *type = btf__type_by_id(types_, id);
	for (; type && (btf_is_typedef(type) || btf_is_mod(type));
	     type = btf__type_by_id(types_, type->type)) {
		// Byte order is in the typedef's name only.
		if (name_of(type) == "__be16" && bytes.size() == 2)
			return ntohs(static_cast<std::uint16_t>(number_in(bytes)));
		if (name_of(type) == "__be32" && bytes.size() == 4)
			return Address::v4(ntohl(static_cast<std::uint32_t>(number_in(bytes))))
				.text();
	}
	if (!type)
		return hex_of(bytes, "");
	if (btf_is_struct(type) || btf_is_union(type))
		return decode_struct(type, bytes);
	if (btf_is_array(type))
		return decode_array(type, bytes);
	if (btf_is_int(type) || btf_is_any_enum(type))
		return number_in(bytes);
	return hex_of(bytes, "");
}

Json Walker::decode_struct(const btf_type *type, Bytes bytes) const
{
	const std::string_view structure = name_of(type);
	if (structure == "ax_addr") {
		ax_addr raw;
		std::memcpy(&raw, bytes.data(), sizeof(raw));
		return Address(raw).text();
	}
	Json json = Json::object();
	const btf_member *members = btf_members(type);
	for (std::uint32_t i = 0; i < btf_vlen(type); i++) {
		const char *name = btf__name_by_offset(types_, members[i].name_off);
		const std::size_t at = btf_member_bit_offset(type, i) / 8;
		const std::int64_t size = btf__resolve_size(types_, members[i].type);
		if (!name || is_padding(name) || size < 0 ||
		    at + static_cast<std::size_t>(size) > bytes.size())
			continue;
		const Bytes part = bytes.subspan(at, static_cast<std::size_t>(size));
		Json value = decode_field(structure, name, members[i].type, part);
		if (*name == '\0' && value.is_object())
			json.update(value);
		else
			json[name] = std::move(value);
	}
	return json;
}

Json Walker::decode_field(std::string_view structure, std::string_view name, std::uint32_t id,
			  Bytes bytes) const
{
	if ((name == "smac" || name == "dmac") && bytes.size() == 6)
		return hex_of(bytes, ":");
	if (bytes.size() == 1) {
		const std::uint64_t value = number_in(bytes);
		const std::string_view known = enumerator(structure, name, value);
		if (!known.empty() && known != "unknown")
			return known;
		if (name == "flags" && structure == "ax_flow")
			return flow_flag_names(static_cast<std::uint8_t>(value));
	}
	return decode(id, bytes);
}

Json Walker::decode_array(const btf_type *type, Bytes bytes) const
{
	const struct btf_array *array = ::btf_array(type);
	const std::int64_t size = btf__resolve_size(types_, array->type);
	Json json = Json::array();
	if (size <= 0)
		return json;
	const auto step = static_cast<std::size_t>(size);
	for (std::size_t i = 0; i < array->nelems && (i + 1) * step <= bytes.size(); i++)
		json.push_back(decode(array->type, bytes.subspan(i * step, step)));
	return json;
}

// What `map` was declared with: __type(key, ...) and __type(value, ...) are pointers to the types.
Status declared_types(const btf *types, const std::string &map, std::uint32_t &key,
		      std::uint32_t &value)
{
	for (std::uint32_t id = 1; id < btf__type_cnt(types); id++) {
		const btf_type *variable = btf__type_by_id(types, id);
		const char *name = btf__name_by_offset(types, variable->name_off);
		if (!btf_is_var(variable) || !name || map != name)
			continue;
		const btf_type *definition = btf__type_by_id(types, variable->type);
		const btf_member *members = btf_members(definition);
		for (std::uint32_t i = 0; i < btf_vlen(definition); i++) {
			const std::string_view field =
				btf__name_by_offset(types, members[i].name_off);
			const btf_type *pointer = btf__type_by_id(types, members[i].type);
			if (field == "key")
				key = pointer->type;
			else if (field == "value")
				value = pointer->type;
		}
		// a variable instead (bpf/maps.h)
		if (value == 0)
			value = variable->type;
		return {};
	}
	return fail(Exit::kFailed, fmt::format("this binary does not know a map {}", map));
}

Result<btf *> embedded_types()
{
	std::size_t size = 0;
	const void *elf = anycast_bpf__elf_bytes(&size);
	const Fd file(::memfd_create("anycast.bpf.o", MFD_CLOEXEC));
	if (!file.valid() || ::write(file.get(), elf, size) != static_cast<std::ptrdiff_t>(size))
		return fail_errno("unpack the embedded type information", errno);
	btf *types = btf__parse_elf(fmt::format("/proc/self/fd/{}", file.get()).c_str(), nullptr);
	if (!types)
		return fail_errno("read the embedded type information", errno);
	return types;
}

} // namespace

void MapTypes::Free::operator()(btf *types) const
{
	btf__free(types);
}

Result<MapTypes> MapTypes::of(const Map &map)
{
	MapTypes result;
	bpf_map_info info{};
	std::uint32_t length = sizeof(info);
	if (bpf_obj_get_info_by_fd(map.fd(), &info, &length) == 0 && info.btf_id != 0 &&
	    info.btf_value_type_id != 0)
		result.types_.reset(btf__load_from_kernel_by_id(info.btf_id));
	if (result.types_ &&
	    !btf_is_datasec(btf__type_by_id(result.types_.get(), info.btf_value_type_id))) {
		result.key_id_ = info.btf_key_type_id;
		result.value_id_ = info.btf_value_type_id;
		return result;
	}
	auto embedded = embedded_types();
	if (!embedded)
		return tl::unexpected(std::move(embedded.error()));
	result.types_.reset(*embedded);
	AX_TRY(declared_types(result.types_.get(), map.name(), result.key_id_, result.value_id_));
	return result;
}

Json MapTypes::key(Bytes bytes) const
{
	return Walker(types_.get()).decode(key_id_, bytes);
}

Json MapTypes::value(Bytes bytes) const
{
	return Walker(types_.get()).decode(value_id_, bytes);
}

} // namespace anycast
